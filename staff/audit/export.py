"""The audit log as a file: CSV for people, JSON Lines for programs."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from audit.models import AuditEvent
from web.input.moments import format_moment

# With these a spreadsheet takes a cell for a formula, and runs it.
FORMULA: Final = tuple("=+-@＝＋－＠\t\r\n")
COLUMNS: Final = (*AuditEvent.sealed_columns(), "seal")


def record_of(event: AuditEvent) -> dict[str, Any]:
    """Return every column, the seal in hexadecimal digits."""
    record = {name: getattr(event, name) for name in COLUMNS}
    return {**record, "created_at": event.created_at.isoformat(), "seal": bytes(event.seal).hex()}


def as_json_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield a line an event."""
    for event in events:
        yield json.dumps(record_of(event), ensure_ascii=False) + "\n"


class Echo:
    """A file that gives back what is written into it."""

    def write(self, text: str) -> str:
        return text


def as_csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield a line an event, under a line of the columns' names."""
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    for event in events:
        record = {**record_of(event), "created_at": format_moment(event.created_at)}
        record["changes"] = json.dumps(event.changes, ensure_ascii=False)
        yield writer.writerow([defused(value) for value in record.values()])


def defused(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


# By the suffix of the file: the type of its content, and what writes it.
FORMATS: Final[dict[str, tuple[str, Callable[[Iterable[AuditEvent]], Iterator[str]]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "jsonl": ("application/x-ndjson", as_json_lines),
}
