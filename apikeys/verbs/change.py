"""Change what a key is called and what it may do."""

from typing import Any

from apikeys.models import ApiKey, ScopeGrant
from apikeys.verbs.ceiling import ActingKey
from apikeys.verbs.rules import as_recorded, as_shown, check_end, clean, read_active
from audit.actor import Actor
from audit.models import AuditLog
from web.input.text import clean_reason


def change(api_key: ApiKey, *, actor: Actor, reason: str = "", **fields: Any) -> bool:
    """Set the given ones of `name`, `scopes` and INHERITABLE. Return False if all were as given.

    None stands for no limit: "never", "any address", "all of the plan". A field that is given as it
    was is not checked, so that a whole object can be sent back. An acting key must be unrestricted,
    and have no limits of its own to change another key. It gives nothing that it does not hold, so
    that it cannot widen itself.

    Raises `key_not_active`, ExceedsCaller.
    """
    reason = clean_reason(reason, required=False)
    cleaned = clean(fields)
    with AuditLog.of(api_key.organization_id) as audit:
        acting = ActingKey.of(actor)
        if acting:
            acting.require_managing()
            acting.require_control(api_key)
        read_active(api_key)
        before = as_recorded(api_key)
        changed = {n: v for n, v in cleaned.items() if as_shown(v) != before[n]}
        if not changed:
            return False
        if acting:
            acting.require_within_ceiling(changed)
        if "expires_at" in changed:
            check_end(changed["expires_at"])
        for name, value in changed.items():
            setattr(api_key, name, value)
        api_key.save(update_fields=changed)
        if "scopes" in changed:
            ScopeGrant.objects.filter(api_key=api_key).exclude(scope__in=api_key.scopes).delete()
            rows = [ScopeGrant(api_key=api_key, scope=scope) for scope in api_key.scopes]
            ScopeGrant.objects.bulk_create(rows, ignore_conflicts=True)
        after = as_recorded(api_key)
        changes = {name: (before[name], after[name]) for name in changed}
        audit.record("api_key.changed", api_key, actor=actor, reason=reason, changes=changes)
    return True
