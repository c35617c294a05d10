"""Timestamps in the contract's form: RFC 3339, UTC, whole seconds, a Z."""

import re
from datetime import UTC, datetime
from typing import Final

from web.errors.refusals import ParameterInvalid

# Python accepts offset minutes above 59, and 24:00 since 3.14.
_MINUTE: Final = r"([01]\d|2[0-3]):[0-5]\d"
_RFC_3339: Final = re.compile(
    rf"\d{{4}}-\d\d-\d\d[Tt]{_MINUTE}:[0-5]\d(\.\d{{1,9}})?([Zz]|[+-]{_MINUTE})", re.ASCII
)


def parse_moment(text: str, *, field: str) -> datetime:
    """Return the date-time of RFC 3339 §5.6, in whole seconds, or raise ParameterInvalid."""
    try:
        if _RFC_3339.fullmatch(text):
            whole_seconds = re.sub(r"\.\d+", "", text.upper())
            return datetime.fromisoformat(whole_seconds).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    wanted = "an existing date and time with an offset, such as 2030-01-31T12:00:00Z"
    raise ParameterInvalid(f"{field} must be {wanted}.", field=field)


def format_moment(moment: datetime) -> str:
    """Return an aware datetime as text, such as `2026-03-11T10:30:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_second(moment: datetime) -> datetime:
    """Return `moment` rounded down to the second, as it is shown."""
    return moment.replace(microsecond=0)


def years_after(moment: datetime, years: int) -> datetime:
    """Return the same calendar day `years` later; 29 February becomes 1 March."""
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:
        return moment.replace(year=moment.year + years, month=3, day=1)
