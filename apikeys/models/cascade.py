"""Revoking a key together with everything that whoever held it could have made with it."""

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

from accounts.models import Actor, AuditLog
from apikeys.models.acting_key import ActingKey
from apikeys.models.api_key import ApiKey
from apikeys.models.key_rules import clean_reason
from apikeys.models.key_secret import KeySecret
from apikeys.models.key_status import KeyStatus
from reachscore.api.metrics import KEYS_REVOKED

# Every secret that a holder of the root may know: the root's own; what was issued by presenting one
# of them; all secrets of a key that was made by presenting one of them; and so on. Neither
# revocation nor expiry stops the walk: a dead key may have made live ones. Two branches, so that
# each goes by its index.
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


@dataclass(frozen=True)
class Cascade:
    """What a cascade did, besides revoking its root."""

    keys_revoked: int
    secrets_ended: int
    secrets_restored: int


def revoke_with_all_it_made(root: ApiKey, *, actor: Actor, reason: str = "") -> Cascade:
    """Revoke `root`, every key it made, and end every secret it issued, through all generations.

    Where such a secret was retiring another one by rotation, that one lives on as before, as far
    as the acting key may give it that: a secret that is being rotated out must not free itself.
    The root may be revoked already.

    Raises ParameterInvalid, ContainsApiKey for the reason; ManagingTakesAllScopes,
    ResourceNotFound.
    """
    reason = clean_reason(reason)
    with AuditLog.of(root.organization_id) as audit:
        acting = ActingKey.of(actor)
        if acting is not None:
            acting.require_managing()
            acting.require_reach(root)
        reached = _reached(root)
        revoked = root.revoke_within(audit, actor=actor, reason=reason)
        children = [
            child.revoke_within(audit, actor=actor, reason=reason, made_by=root.pk)
            for child in _children(reached)
        ]
        outcomes = [
            _end_secrets(
                api_key, reached, audit, acting=acting, actor=actor, reason=reason, root=root
            )
            for api_key in _left_alive(reached)
        ]
    KEYS_REVOKED.inc(revoked + len(children))
    return Cascade(
        keys_revoked=len(children),
        secrets_ended=sum(ended for ended, _ in outcomes),
        secrets_restored=sum(restored for _, restored in outcomes),
    )


def would_revoke(root: ApiKey) -> Cascade:
    """Return what `revoke_with_all_it_made` would do now, without doing anything."""
    reached = _reached(root)
    children = {child.pk for child in _children(reached)}
    spared = _left_alive(reached).exclude(pk__in=[*children, root.pk])
    ends = [_secrets_to_end(api_key, reached) for api_key in spared]
    return Cascade(
        keys_revoked=len(children - {root.pk}),
        secrets_ended=sum(len(ended) for ended, _ in ends),
        secrets_restored=sum(retiring is not None for _, retiring in ends),
    )


def _children(reached: list[int]) -> QuerySet[ApiKey]:
    """Return the keys that are to be revoked with the root."""
    return ApiKey.objects.filter(maker__in=reached, revoked_at=None)


def _left_alive(reached: list[int]) -> QuerySet[ApiKey]:
    """Return the active keys that have reached secrets: they lose these, and live on."""
    return ApiKey.objects.filter(
        KeyStatus.ACTIVE.condition, secrets__in=reached, secrets__ended_at=None
    ).distinct()


def _secrets_to_end(
    api_key: ApiKey, reached: list[int]
) -> tuple[list[KeySecret], KeySecret | None]:
    """Return the live secrets of a key that were reached, and the one that gets its place back."""
    unended = KeySecret.objects.filter(api_key=api_key, ended_at=None)
    ended = [secret for secret in unended.filter(pk__in=reached) if secret.is_live]
    retiring = KeySecret.rotated_out_of(api_key)
    gets_back = (
        retiring is not None
        and retiring.is_live
        and retiring not in ended
        and any(secret.expires_at is None for secret in ended)
    )
    return ended, retiring if gets_back else None


def _reached(root: ApiKey) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(FIND_REACHED, {"root": root.pk})
        return [secret_id for (secret_id,) in cursor.fetchall()]


def _end_secrets(
    api_key: ApiKey,
    reached: list[int],
    audit: AuditLog,
    *,
    acting: ActingKey | None,
    actor: Actor,
    reason: str,
    root: ApiKey,
) -> tuple[int, int]:
    """End those secrets of a key that were reached; return how many, and how many were restored."""
    ended, retiring = _secrets_to_end(api_key, reached)
    if not ended:
        return 0, 0
    for secret in ended:
        secret.end()
    changes: dict[str, tuple[Any, Any]] = {
        "ended_secrets": ([secret.locator for secret in ended], None),
        "cascade_of": (None, root.pk),
    }
    may_restore = acting is None or acting.may_be_handed(api_key)
    if retiring is not None and may_restore:
        retiring.give_back()
        changes["restored_secret"] = (None, retiring.locator)
    audit.record(
        "api_key.secrets_ended",
        api_key,
        actor=actor,
        livemode=api_key.livemode,
        reason=reason,
        changes=changes,
    )
    return len(ended), int("restored_secret" in changes)
