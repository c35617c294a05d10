"""The audit log as a file: CSV for people, JSON Lines for programs."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, Final, cast

from django.db.models import Q, QuerySet

from audit.models import AuditEvent
from web.input.moments import format_moment

AT_A_TIME: Final = 1000
# A spreadsheet runs a cell that begins with one of these as a formula.
FORMULA: Final = tuple("=+-@＝＋－＠\t\r\n")
COLUMNS: Final = (*AuditEvent.sealed_columns(), "seal")


def record_of(event: AuditEvent, **other: str) -> dict[str, Any]:
    """Return every column, the seal in hexadecimal digits; `other` replaces values."""
    record = {name: getattr(event, name) for name in COLUMNS}
    return {**record, "seal": bytes(event.seal).hex(), **other}


def as_json_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    for event in events:
        record = record_of(event, created_at=event.created_at.isoformat())
        yield json.dumps(record, ensure_ascii=False) + "\n"


def as_csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    # Its writerow returns what `write` does: the line.
    writer: Any = csv.writer(cast(Any, SimpleNamespace(write=str)), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    for event in events:
        changes = json.dumps(event.changes, ensure_ascii=False)
        record = record_of(event, created_at=format_moment(event.created_at), changes=changes)
        yield writer.writerow(map(defused, record.values()))


def defused(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


# By the suffix of the file: its content type and its writer.
FORMATS: Final[dict[str, tuple[str, Callable[[Iterable[AuditEvent]], Iterator[str]]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "jsonl": ("application/x-ndjson", as_json_lines),
}


def in_pieces(events: QuerySet[AuditEvent]) -> Iterator[AuditEvent]:
    """Yield events, newest first, by keyset pagination: a slow reader holds no transaction open."""
    older = Q()
    while piece := list(events.filter(older).order_by("-created_at", "-id")[:AT_A_TIME]):
        yield from piece
        at, last = piece[-1].created_at, piece[-1].pk
        older = Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(id__lt=last))
