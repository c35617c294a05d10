"""What the fields of a key must be, for every actor."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.utils import timezone

from apikeys.models import ApiKey
from apikeys.networks import clean_networks
from apikeys.scopes import clean_scopes
from apikeys.verbs.ceiling import GIVEN
from web.errors.refusals import Faults, OfCatalogue, ParameterInvalid
from web.input.moments import format_moment, whole_second, years_after
from web.input.text import clean_line

LONGEST_LIFE_YEARS: Final = 10
LARGEST_SHARE: Final = 1_000_000_000


def _clean_share(max_tests_per_month: int | None) -> int | None:
    if max_tests_per_month is not None and not 0 <= max_tests_per_month <= LARGEST_SHARE:
        message = f"max_tests_per_month must be from 0 to {LARGEST_SHARE}; null is all of the plan."
        raise ParameterInvalid(message, field="max_tests_per_month")
    return max_tests_per_month


# What each field of a key is put through before it is looked at any further.
CLEAN: Final[dict[str, Callable[[Any], Any]]] = {
    "name": partial(clean_line, field="name", max_length=100),
    "scopes": clean_scopes,
    "expires_at": lambda end: end and whole_second(end),
    "allowed_ips": lambda networks: None if networks is None else clean_networks(networks),
    "max_tests_per_month": _clean_share,
}


def clean(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a key, each put through CLEAN.

    Raises ParameterInvalid or ContainsApiKey: the first, with all further faults beside it.
    """
    faults, cleaned = Faults(), {}
    for name, value in fields.items():
        with faults.noted():
            cleaned[name] = CLEAN[name](value)
    if faults:
        with faults.noted():
            check_end(cleaned.get("expires_at"))
    faults.refuse()
    return cleaned


def as_shown(value: Any) -> Any:
    """Return a field's value as clients see it: a moment to the second."""
    return format_moment(value) if isinstance(value, datetime) else value


def as_recorded(api_key: ApiKey) -> dict[str, Any]:
    """Return what the audit log shows before and after a change, in JSON's types."""
    return {name: as_shown(getattr(api_key, name)) for name in ("name", *GIVEN)}


def read_active(api_key: ApiKey) -> None:
    """Read a key's row again, under the lock. Raise `key_not_active` if it is over."""
    api_key.refresh_from_db()
    if not api_key.is_active:
        raise OfCatalogue("key_not_active", f"The key {api_key.pk} is {api_key.status}.")


def check_end(expires_at: datetime | None) -> None:
    """Raise ParameterInvalid for an end that is past or too far off."""
    if expires_at is None:
        return
    now, rule = timezone.now(), ""
    if expires_at <= now:
        rule = "in the future"
    elif expires_at > years_after(now, LONGEST_LIFE_YEARS):
        rule = f"at most {LONGEST_LIFE_YEARS} years from now"
    if rule:
        raise ParameterInvalid(f"expires_at must be {rule}.", field="expires_at")
