"""The scopes a key can carry."""

from collections.abc import Iterable

from django.db import models

from reachscore.api.redaction import quote_input
from reachscore.api.refusals import ParameterInvalid
from reachscore.api.text import did_you_mean


class Scope(models.TextChoices):
    """`resource:action`, in the contract's order; the label says it to people."""

    TESTS_READ = "tests:read", "Read test results"
    TESTS_WRITE = "tests:write", "Create and manage tests"
    DOMAINS_READ = "domains:read", "Read domains"
    DOMAINS_WRITE = "domains:write", "Create and verify domains"
    MONITORS_READ = "monitors:read", "Read monitors"
    MONITORS_WRITE = "monitors:write", "Create and manage monitors"
    WEBHOOKS_MANAGE = "webhooks:manage", "Manage webhooks"
    BILLING_MANAGE = "billing:manage", "Access billing and subscription"


ALL_SCOPES: tuple[str, ...] = tuple(scope.value for scope in Scope)


def clean_scopes(wanted: Iterable[str], *, field: str = "scopes") -> list[str]:
    """Return the scopes of `wanted` once each, in the contract's order.

    Raises ParameterInvalid for an unknown scope and for none: empty never means all.
    """
    asked = set(wanted)
    if not asked:
        message = f"{field} must name at least one scope; leave it out for all of them."
        raise ParameterInvalid(message, field=field)
    for scope in sorted(asked - set(ALL_SCOPES)):
        hint = did_you_mean(scope, ALL_SCOPES)
        message = f"There is no scope {quote_input(scope)}.{hint}"
        fix = f"The scopes are {', '.join(ALL_SCOPES)}."
        raise ParameterInvalid(message, fix=fix, field=field)
    return [scope for scope in ALL_SCOPES if scope in asked]


def is_unrestricted(scopes: Iterable[str]) -> bool:
    """Tell whether a key with these scopes may manage keys: it must hold all there are."""
    return set(scopes) >= set(ALL_SCOPES)
