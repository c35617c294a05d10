"""Issue a key, once for each Idempotency-Key."""

import hashlib
from collections.abc import Collection
from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.models import Plan
from apikeys.models import ApiKey, KeySecret, KeyStatus, RememberedRequest, ScopeGrant
from apikeys.models.remembered_request import REMEMBERED_FOR
from apikeys.refusals import IdempotencyInProgress, IdempotencyKeyReused, KeyLimitReached
from apikeys.verbs.ceiling import GIVEN, ActingKey
from apikeys.verbs.rules import CLEAN, as_recorded, check_end, clean
from apikeys.verbs.secrets import add_secret, end_secret
from audit.actor import Actor
from audit.models import AuditLog
from web.database import fetch_all
from web.errors.refusals import OfCatalogue
from web.input.text import clean_reason
from web.telemetry.metrics import KEYS_ISSUED

# Of two that come at once, one gets the lock and the other does not wait.
TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(%s)"


def issue(api_key: ApiKey, *, actor: Actor, inherit: Collection[str] = (), reason: str = "") -> str:
    """Save a new key and return its plaintext. The plaintext is stored nowhere.

    `inherit` names those of INHERITABLE that are to be the acting key's own. The new secret is
    `api_key.issued_secret`. Raises ExceedsCaller, KeyLimitReached.
    """
    reason = clean_reason(reason, required=False)
    with AuditLog.of(api_key.organization_id) as audit:
        acting = prepare_new(api_key, actor=actor, inherit=inherit)
        api_key.created_by = str(actor)
        api_key.maker = acting.secret if acting else None
        api_key.save(force_insert=True)
        ScopeGrant.objects.bulk_create(
            ScopeGrant(api_key=api_key, scope=scope) for scope in api_key.scopes
        )
        api_key.issued_secret, plaintext = add_secret(api_key)
        changes = {name: (None, value) for name, value in as_recorded(api_key).items()}
        audit.record("api_key.issued", api_key, actor=actor, reason=reason, changes=changes)
    KEYS_ISSUED.inc()
    return plaintext


def prepare_new(
    api_key: ApiKey, *, actor: Actor, inherit: Collection[str], but: str | None = None
) -> ActingKey | None:
    """Clean and complete the fields of an unsaved key and check them by every rule of a new one.

    Return the acting key, if any. `but` is a key that does not count against the limit of active
    keys. Call it under the lock. Raises as `issue`.
    """
    for name, value in clean({name: getattr(api_key, name) for name in CLEAN}).items():
        setattr(api_key, name, value)
    acting = ActingKey.of(actor)
    if acting:
        acting.require_managing()
        acting.require_reach(api_key)
        for name in inherit:
            setattr(api_key, name, acting.own(name))
        acting.require_within_ceiling({name: getattr(api_key, name) for name in GIVEN})
    check_end(api_key.expires_at)
    owner, active = api_key.organization_id, KeyStatus.ACTIVE.condition
    limit = Plan.objects.get(organizations=owner).active_keys_limit
    siblings = ApiKey.objects.filter(active, organization_id=owner, livemode=api_key.livemode)
    if limit is not None and siblings.exclude(pk=but or "").count() >= limit:
        raise KeyLimitReached(limit)
    return acting


def issue_once(
    wanted: ApiKey, *, actor: Actor, inherit: Collection[str], token: str | None, fingerprint: bytes
) -> tuple[str, str, bool]:
    """Issue `wanted` idempotently: a repeated request gets the same key with a fresh secret.

    `token` is the Idempotency-Key, if any, and `fingerprint` the digest of the request. Return the
    key's id, the plaintext, and True if an earlier request had issued the key.

    Raises as `issue` and `_issue_again`, and:
        IdempotencyInProgress: while another sending is carried out.
        IdempotencyKeyReused: if the token came with another request.
    """
    if token is None:
        plaintext = issue(wanted, actor=actor, inherit=inherit)
        return wanted.pk, plaintext, False
    sending = {"caller_id": actor.id, "token_digest": hashlib.sha256(token.encode()).digest()}
    with transaction.atomic():
        lock = hashlib.sha256(f"{actor.id} {token}".encode()).digest()[:8]
        if fetch_all(TRY_LOCK, [int.from_bytes(lock, signed=True)]) != [(True,)]:
            raise IdempotencyInProgress
        sent = RememberedRequest.objects.filter(**sending)
        sent.filter(created_at__lte=timezone.now() - REMEMBERED_FOR).delete()
        earlier = sent.select_related("secret").first()
        if earlier is None:
            plaintext = issue(wanted, actor=actor, inherit=inherit)
            made = {"fingerprint": fingerprint, "secret": wanted.issued_secret}
            RememberedRequest.objects.create(**sending, **made)
            return wanted.pk, plaintext, False
        if bytes(earlier.fingerprint) != fingerprint:
            raise IdempotencyKeyReused(earlier.created_at)
        plaintext = _issue_again(earlier, wanted, actor=actor, inherit=inherit)
        return earlier.secret.api_key_id, plaintext, True


def _issue_again(
    earlier: RememberedRequest, wanted: ApiKey, *, actor: Actor, inherit: Collection[str]
) -> str:
    """Replace the secret that was issued then by a fresh one and return its plaintext.

    Everything is checked as for a new key. Raises as `issue`, ExceedsCaller also if the key has
    come to reach further than the acting one, and `idempotency_secret_used` if the secret was used
    or has ended.
    """
    with AuditLog.of(wanted.organization_id) as audit:
        acting = prepare_new(wanted, actor=actor, inherit=inherit, but=earlier.secret.api_key_id)
        # The lock orders this and the first use: the second finds what the first did.
        old = KeySecret.objects.select_for_update(no_key=True).get(pk=earlier.secret_id)
        api_key = ApiKey.objects.get(pk=old.api_key_id)
        if acting:
            acting.require_could_make(api_key)
        is_newest = old.ended_at is None and old.expires_at is None
        if not (api_key.is_active and is_newest and old.last_used_at is None):
            raise OfCatalogue("idempotency_secret_used")
        end_secret(old)
        fresh, plaintext = add_secret(api_key, issued_by=acting.secret if acting else None)
        RememberedRequest.objects.filter(pk=earlier.pk).update(secret=fresh)
        changes = {"secret": (old.locator, fresh.locator)}
        audit.record("api_key.secret_replaced", api_key, actor=actor, changes=changes)
    return plaintext
