"""The scopes a key can carry, in one list. docs/changing.md says how to add one."""

from collections.abc import Iterable

from django.db import models
from django.db.migrations import RunSQL

from web.errors.refusals import Faults, ParameterInvalid
from web.input.text import did_you_mean
from web.redaction import quote_input


class Scope(models.TextChoices):
    """`resource:action`, in the contract's order; the label says it to people.

    Append new ones at the end: `give_to_managing_keys` takes those before a scope for older.
    """

    TESTS_READ = "tests:read", "Read test results"
    TESTS_WRITE = "tests:write", "Create and manage tests"
    DOMAINS_READ = "domains:read", "Read domains"
    DOMAINS_WRITE = "domains:write", "Create and verify domains"
    MONITORS_READ = "monitors:read", "Read monitors"
    MONITORS_WRITE = "monitors:write", "Create and manage monitors"
    WEBHOOKS_MANAGE = "webhooks:manage", "Manage webhooks"
    BILLING_MANAGE = "billing:manage", "Access billing and subscription"


ALL_SCOPES: tuple[str, ...] = tuple(scope.value for scope in Scope)


def all_scopes() -> list[str]:
    """Return every scope: the default of a key. Migrations store this function's name, no list."""
    return list(ALL_SCOPES)


def clean_scopes(wanted: Iterable[str], *, field: str = "scopes") -> list[str]:
    """Return the scopes of `wanted` once each, in the contract's order.

    Raises ParameterInvalid for an unknown scope and for none: empty never means all.
    """
    asked = set(wanted)
    if not asked:
        message = f"{field} must name at least one scope; leave it out for all of them."
        raise ParameterInvalid(message, field=field)
    faults = Faults()
    for scope in sorted(asked - set(ALL_SCOPES)):
        with faults.noted():
            hint = did_you_mean(scope, ALL_SCOPES)
            message = f"There is no scope {quote_input(scope)}.{hint}"
            fix = f"The scopes are {', '.join(ALL_SCOPES)}."
            raise ParameterInvalid(message, fix=fix, field=field)
    faults.refuse()
    return [scope for scope in ALL_SCOPES if scope in asked]


def is_unrestricted(scopes: Iterable[str]) -> bool:
    """Return True if a key with these scopes may manage keys: it must hold every scope."""
    return set(scopes) >= set(ALL_SCOPES)


def give_to_managing_keys(scope: str) -> RunSQL:
    """Return the data migration that a new scope needs: it gives the scope to managing keys.

    Without it no key would hold every scope, so that all managing keys would be restricted ones,
    and no key could give the new scope, because a key gives only what it holds.
    """
    position = ALL_SCOPES.index(scope)
    older, newer = list(ALL_SCOPES[:position]), list(ALL_SCOPES[: position + 1])
    give = "UPDATE apikeys_apikey SET scopes = %s::varchar[] WHERE scopes @> %s::varchar[]"
    grant = """
        INSERT INTO apikeys_scopegrant (api_key_id, scope, granted_at)
        SELECT id, %s, now() FROM apikeys_apikey WHERE scopes @> %s::varchar[]
            ON CONFLICT DO NOTHING
    """
    return RunSQL(
        [(give, [newer, older]), (grant, [scope, newer])], RunSQL.noop, hints={"new_scope": scope}
    )
