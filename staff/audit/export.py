"""The audit log as a file: CSV for people, JSON Lines for programs."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from typing import Any, Final

from audit.models import AuditEvent
from web.input.moments import format_moment

# A spreadsheet runs a cell that begins with one of these as a formula.
FORMULA: Final = tuple("=+-@＝＋－＠\t\r\n")
COLUMNS: Final = (*AuditEvent.sealed_columns(), "seal")


def record_of(event: AuditEvent) -> dict[str, Any]:
    """Return every column, the seal in hexadecimal digits."""
    record = {name: getattr(event, name) for name in COLUMNS}
    return {**record, "created_at": event.created_at.isoformat(), "seal": bytes(event.seal).hex()}


def as_json_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield a line for each event."""
    for event in events:
        yield json.dumps(record_of(event), ensure_ascii=False) + "\n"


def as_csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield a line of column names, then a line for each event."""
    yield csv_line(COLUMNS)
    for event in events:
        record = {**record_of(event), "created_at": format_moment(event.created_at)}
        record["changes"] = json.dumps(event.changes, ensure_ascii=False)
        yield csv_line(map(defused, record.values()))


def csv_line(cells: Iterable[str]) -> str:
    csv.writer(line := StringIO(), quoting=csv.QUOTE_ALL).writerow(cells)
    return line.getvalue()


def defused(value: Any) -> str:
    """Return a cell that no spreadsheet runs as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


# By the suffix of the file: its content type and its writer.
FORMATS: Final[dict[str, tuple[str, Callable[[Iterable[AuditEvent]], Iterator[str]]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "jsonl": ("application/x-ndjson", as_json_lines),
}
