"""Verification of the audit log: checks every event of every hash chain against its seal.

No snapshot is needed: the head is read first, then the events up to the head, page by page, each in
a short transaction. Events written meanwhile are left for the next run.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import Min, TextField
from django.db.models.functions import Cast

from audit.models import SERVICE, AuditEvent
from audit.seals import GENESIS, seal
from web.database import fetch_all

AT_A_TIME: Final = 1000  # Rows in memory.

Seals = Mapping[int, bytes]  # That were kept elsewhere, by the number of their event.

# An attacker may have deleted any part of a chain: its head, its organization, its events. The
# recursion is a loose index scan over the organizations that have events; LIMIT ends it.
FIND_CHAINS: Final = """
    WITH RECURSIVE written (id) AS (
        SELECT min(organization_id) FROM audit_auditevent WHERE organization_id > %(after)s
        UNION ALL
        SELECT (SELECT min(e.organization_id) FROM audit_auditevent e
                 WHERE e.organization_id > written.id)
          FROM written WHERE written.id IS NOT NULL
    )
    (SELECT organization_id FROM audit_audithead
      WHERE organization_id > %(after)s ORDER BY 1 LIMIT %(most)s)
    UNION (SELECT id FROM accounts_organization WHERE id > %(after)s ORDER BY 1 LIMIT %(most)s)
    UNION (SELECT written.id FROM written WHERE written.id IS NOT NULL LIMIT %(most)s)
    UNION SELECT %(service)s::text WHERE %(service)s::text > %(after)s
    ORDER BY 1 LIMIT %(most)s
"""

# One statement, so that the head and the check for events beyond it see the same snapshot.
FIND_HEAD: Final = """
    SELECT head.sequence, head.seal,
           EXISTS (SELECT FROM accounts_organization WHERE id = %(id)s) OR %(id)s = %(service)s,
           EXISTS (SELECT FROM audit_auditevent
                    WHERE organization_id = %(id)s
                      AND (sequence > COALESCE(head.sequence, 0) OR sequence < 1))
      FROM (SELECT) AS one
      LEFT JOIN audit_audithead head ON head.organization_id = %(id)s
"""

# Only triggers of a plain table count: a view, a rule or row security could show each reader other
# rows.
FIND_GUARDS: Final = """
    SELECT relation.relname || ' ' || trigger.tgname
      FROM pg_trigger trigger
      JOIN pg_class relation ON relation.oid = trigger.tgrelid
     WHERE relation.relkind = 'r'
       AND NOT relation.relhasrules
       AND NOT relation.relrowsecurity
       AND trigger.tgenabled IN ('O', 'A')
       AND relation.relnamespace = current_schema()::regnamespace
"""
GUARDS: Final = (
    "audit_auditevent audit_event_append_only",
    "audit_audithead audit_head_stays",
    "audit_audithead audit_head_one_step",
)


class Head(NamedTuple):
    """The end of a chain. Its text, `org_… 12 <seal in hex>`, can be kept elsewhere."""

    organization_id: str
    sequence: int
    seal: bytes

    def __str__(self) -> str:
        return f"{self.organization_id} {self.sequence} {self.seal.hex()}"


class Finding(NamedTuple):
    """The first fault of a chain. Its text is one line for people."""

    organization_id: str
    what: str
    sequence: int | None = None
    event_id: str = ""

    def __str__(self) -> str:
        event = "" if self.sequence is None else f" event {self.sequence}"
        named = f" ({self.event_id})" if self.event_id else ""
        return f"{self.organization_id}{event}{named}: {self.what}."


def find_chains(after: str) -> Iterator[str]:
    """Yield SERVICE and the id of every organization that has a head, an event or a row.

    Only ids after `after` in the database's order, and in that order.
    """
    page = [after]
    while page:
        known = {"service": SERVICE, "after": page[-1], "most": AT_A_TIME}
        page = [id_ for (id_,) in fetch_all(FIND_CHAINS, known)]
        yield from page


def those_after(after: str, *, ids: Iterable[str]) -> list[str]:
    """Return those of `ids` that come after `after` in the order of the database's locale."""
    found = fetch_all("SELECT id FROM unnest(%s::text[]) AS id WHERE id > %s", [list(ids), after])
    return [id_ for (id_,) in found]


def missing_guards() -> list[str]:
    """Return the append-only triggers, as `table trigger`, that are missing or disabled."""
    there = fetch_all(FIND_GUARDS)
    return [guard for guard in GUARDS if (guard,) not in there]


def verify(
    organization_id: str, *, kept: Seals, checked: Callable[[], None]
) -> tuple[Head | None, Finding | None]:
    """Verify a chain. Return its head and its first fault; each can be None.

    `checked` is called for each event.
    """
    [row] = fetch_all(FIND_HEAD, {"id": organization_id, "service": SERVICE})
    sequence, stored_seal, has_organization, goes_on = row
    if stored_seal is None:
        return None, Finding(organization_id, "the head of its audit log is missing")
    head = Head(organization_id, sequence, bytes(stored_seal))
    if finding := _walk(head, kept=kept, checked=checked):
        return head, finding
    longest = max(kept, default=0)
    what = ""
    if goes_on:
        what = f"it has more events than the {sequence} its head counts"
    elif sequence < longest:
        what = (
            f"the kept head is number {longest}, the log now ends at {sequence}: the events after "
            "it are gone"
        )
    elif not sequence and organization_id != SERVICE:
        what = "it is empty, but its first event should be the creation of the organization"
    elif not has_organization:
        what = "its audit log exists, but the organization does not"
    return head, Finding(organization_id, what) if what else None


def _walk(head: Head, *, kept: Seals, checked: Callable[[], None]) -> Finding | None:
    """Return the first fault among the events, and say how many of the events after it fit."""
    number, after = 0, GENESIS
    first: Finding | None = None
    following = fitting = 0
    for columns, stored_seal in _events(head):
        checked()
        number += 1
        fault = _fault(columns, stored_seal, number=number, after=after, kept=kept)
        if first is not None:
            following += 1
            fitting += not fault
        elif fault:
            event_id = str(columns["id"]) if columns["sequence"] == number else ""
            first = Finding(head.organization_id, fault, number, event_id)
        number, after = columns["sequence"], stored_seal
    if first is not None:
        rest = (
            f"of the {following} after it, {fitting} fit" if following else "it is the last event"
        )
        return first._replace(what=f"{first.what}; {rest}")
    if number < head.sequence:
        cut = f"missing: its head counts {head.sequence}, so the tail was cut off"
        return Finding(head.organization_id, cut, number + 1)
    if after != head.seal:
        return Finding(head.organization_id, "its head holds another seal", number or None)
    return None


def _fault(
    columns: Mapping[str, Any], stored_seal: bytes, *, number: int, after: bytes, kept: Seals
) -> str:
    """Return what is wrong with the event that is in the place of `number`; "" if nothing is."""
    if (sequence := columns["sequence"]) != number:
        return f"missing: so number {sequence} ({columns['id']}) cannot be checked"
    key_id = columns["seal_key_id"]
    if key_id not in settings.AUDIT_KEYS:
        return f"cannot be checked: AUDIT_KEYS does not list number {key_id}"
    if not fits(columns, stored_seal, after=after):
        return "does not fit its seal"
    if kept.get(number, stored_seal) != stored_seal:
        return "another seal was kept: this event or one before it was rewritten"
    return ""


def fits(columns: Mapping[str, Any], stored_seal: bytes, *, after: bytes) -> bool:
    """Return True if the seal is correct for these columns and the previous seal `after`."""
    try:
        expected = seal(columns, after=after, key=settings.AUDIT_KEYS[columns["seal_key_id"]])
    except (RecursionError, TypeError, ValueError):  # The service never writes such values.
        return False
    return compare_digest(expected, stored_seal)


def _events(head: Head) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield sealed columns and seal of each event up to the head, in order.

    Values that Python cannot parse (infinite times, huge numbers) stay text.
    """
    names = [name for name in AuditEvent.sealed_columns() if name not in ("created_at", "changes")]
    events = AuditEvent.objects.filter(
        organization_id=head.organization_id, sequence__gte=1, sequence__lte=head.sequence
    )
    first: int | None = 1
    while first is not None:
        # Pages are ranges of numbers, not counts of rows, so that a duplicate number is seen.
        last = first + AT_A_TIME - 1
        rows = events.filter(sequence__gte=first, sequence__lte=last).values(
            *names,
            "seal",
            created_text=Cast("created_at", TextField()),
            changes_text=Cast("changes", TextField()),
        )
        for row in rows.order_by("sequence"):
            stored_seal = bytes(row.pop("seal") or b"")
            row["created_at"] = _parsed(row.pop("created_text"), datetime.fromisoformat)
            row["changes"] = _parsed(row.pop("changes_text"), json.loads)
            yield row, stored_seal
        # Skip a gap at once: an attacker may have set the head to a huge number.
        first = events.filter(sequence__gt=last).aggregate(next=Min("sequence"))["next"]


def _parsed(text: str | None, parse: Callable[[str], Any]) -> Any:
    """Return `parse(text)`, or `text` itself if it cannot be parsed."""
    try:
        return parse(text or "")
    except (ValueError, RecursionError):
        return text
