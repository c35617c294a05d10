"""Revoke a key; with cascade also, transitively, every key and secret created with it."""

from dataclasses import dataclass
from typing import Final

from django.utils import timezone

from apikeys.models import ApiKey, KeySecret, KeyStatus
from apikeys.verbs.ceiling import ActingKey
from apikeys.verbs.secrets import end_secret
from audit.actor import Actor
from audit.models import AuditLog
from web.context import current
from web.database import fetch_all
from web.input.text import clean_reason
from web.telemetry.metrics import KEYS_REVOKED

# The transitive closure of the secrets that a holder of the root may know: the root's own; those
# issued by presenting one of them; all secrets of a key made by presenting one of them. Neither
# revocation nor expiry stops the walk: a dead key may have made live ones. Two branches, so that
# each uses its index.
FIND_REACHED: Final = """
    WITH RECURSIVE reached (secret_id) AS (
        SELECT s.id
          FROM apikeys_keysecret s
         WHERE s.api_key_id = %(root)s
         UNION
        SELECT next.id
          FROM reached r
         CROSS JOIN LATERAL (
               SELECT s.id
                 FROM apikeys_keysecret s
                WHERE s.issued_by_id = r.secret_id
                UNION ALL
               SELECT s.id
                 FROM apikeys_apikey k
                 JOIN apikeys_keysecret s ON s.api_key_id = k.id
                WHERE k.maker_id = r.secret_id
               ) next
    )
    SELECT secret_id FROM reached
"""
# One statement, because a report of many keys asks for each.
COUNT_REACHED: Final = FIND_REACHED.replace(
    "SELECT secret_id FROM reached",
    """
    , made AS (
        SELECT k.id
          FROM reached r
          JOIN apikeys_apikey k ON k.maker_id = r.secret_id
         WHERE k.revoked_at IS NULL AND k.id <> %(root)s
    )
    SELECT (SELECT count(*) FROM made),
           (SELECT count(*)
              FROM reached r
              JOIN apikeys_keysecret s ON s.id = r.secret_id
              JOIN apikeys_apikey k ON k.id = s.api_key_id
             WHERE s.ended_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > %(now)s)
               AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %(now)s)
               AND k.id <> %(root)s AND k.id NOT IN (SELECT id FROM made))
    """,
)


@dataclass(frozen=True)
class Cascade:
    """What a cascade did, besides revoking its root."""

    keys_revoked: int
    secrets_ended: int


def revoke(api_key: ApiKey, *, actor: Actor, reason: str = "") -> bool:
    """Revoke a key at once and for good. Return False if it was revoked before."""
    reason = clean_reason(reason, required=False)
    with AuditLog.of(api_key.organization_id) as audit:
        if acting := ActingKey.of(actor):
            acting.require_reach(api_key)
        changed = _revoke_row(audit, api_key, actor=actor, reason=reason)
    KEYS_REVOKED.inc(changed)  # After the transaction: what is rolled back does not count.
    return changed


def _revoke_row(
    audit: AuditLog, api_key: ApiKey, *, actor: Actor, reason: str, cascade_of: str | None = None
) -> bool:
    """Revoke under the lock, with authority and reason checked; `cascade_of` is the root's id."""
    unrevoked = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None)
    revoked = unrevoked.update(
        revoked_at=timezone.now(), revoked_by=str(actor), revoked_reason=reason
    )
    if revoked:
        changes = {"cascade_of": (None, cascade_of)} if cascade_of else {}
        audit.record("api_key.revoked", api_key, actor=actor, reason=reason, changes=changes)
    api_key.refresh_from_db(fields=["revoked_at", "revoked_by", "revoked_reason"])
    return revoked > 0


def revoke_with_all_it_made(root: ApiKey, *, actor: Actor, reason: str = "") -> Cascade:
    """Revoke `root`, every key it made, and end every secret it issued, through all generations.

    A cascade only ends things: if such a secret had replaced another one by rotation, the other one
    still ends at its own time. The root may be revoked already.
    """
    reason = clean_reason(reason, required=False)
    current().allow("bulk")
    with AuditLog.of(root.organization_id) as audit:
        if acting := ActingKey.of(actor):
            acting.require_managing()
            acting.require_reach(root)
        reached = [secret_id for (secret_id,) in fetch_all(FIND_REACHED, {"root": root.pk})]
        revoked = _revoke_row(audit, root, actor=actor, reason=reason)
        children = [
            _revoke_row(audit, child, actor=actor, reason=reason, cascade_of=root.pk)
            for child in ApiKey.objects.filter(maker__in=reached, revoked_at=None)
        ]
        ended = 0
        unended = KeySecret.objects.filter(pk__in=reached, ended_at=None)
        keys = ApiKey.objects.filter(KeyStatus.ACTIVE.condition, secrets__in=unended).distinct()
        for api_key in keys:
            live = [secret for secret in unended.filter(api_key=api_key) if secret.is_live]
            if not live:
                continue
            for secret in live:
                end_secret(secret)
            ended += len(live)
            locators = [secret.locator for secret in live]
            changes = {"ended_secrets": (locators, None), "cascade_of": (None, root.pk)}
            done = "api_key.secrets_ended"
            audit.record(done, api_key, actor=actor, reason=reason, changes=changes)
    KEYS_REVOKED.inc(revoked + len(children))
    return Cascade(keys_revoked=len(children), secrets_ended=ended)


def would_revoke(root: ApiKey) -> Cascade:
    """Return what `revoke_with_all_it_made` would do now, without doing it (dry run)."""
    [counts] = fetch_all(COUNT_REACHED, {"root": root.pk, "now": timezone.now()})
    return Cascade(*counts)
