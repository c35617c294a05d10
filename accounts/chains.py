"""The audit log as it is stored, chain by chain, in one snapshot and constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from accounts.models import SERVICE, AuditEvent
from accounts.seals import seal

AT_A_TIME: Final = 1000  # Rows in memory.

# Whatever has a part of a chain, somebody may have taken away any of the three; and the service's
# own, which needs no organization.
CHAINS: Final = """
    WITH known AS (
        SELECT organization_id FROM accounts_audithead
        UNION SELECT id FROM accounts_organization
        UNION SELECT organization_id FROM accounts_auditevent
        UNION SELECT %(service)s
    )
    SELECT known.organization_id, head.sequence, head.seal,
        organization.id IS NOT NULL OR known.organization_id = %(service)s
    FROM known
    LEFT JOIN accounts_audithead head USING (organization_id)
    LEFT JOIN accounts_organization organization ON organization.id = known.organization_id
    WHERE %(only)s::text IS NULL OR known.organization_id = %(only)s
    ORDER BY known.organization_id
"""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends, as a line that can be kept elsewhere: `org_… 12 <seal in hex>`."""

    organization_id: str
    sequence: int
    seal: bytes

    def __str__(self) -> str:
        return f"{self.organization_id} {self.sequence} {self.seal.hex()}"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row, whoever wrote it: every sealed column, and the seal."""

    columns: Mapping[str, Any]
    seal: bytes

    @property
    def id(self) -> str:
        return str(self.columns["id"])

    @property
    def organization_id(self) -> str:
        return str(self.columns["organization_id"])

    @property
    def sequence(self) -> int:
        return int(self.columns["sequence"] or 0)

    @property
    def key_id(self) -> int:
        return int(self.columns["seal_key_id"] or 0)

    def fits(self, *, after: bytes, **columns: int) -> bool:
        """Tell whether the seal is the one of this content, after an event with that seal.

        `columns` asks about a content with these values in their place.
        """
        content = {**self.columns, **columns}
        key = settings.AUDIT_KEYS.get(content["seal_key_id"])
        if key is None:
            return False
        try:
            return compare_digest(seal(content, after=after, key=key), self.seal)
        except (RecursionError, TypeError, ValueError):  # Nothing that we would write.
            return False


@dataclass(frozen=True, slots=True)
class Chain:
    """One organization's events in order, which can be read once, and what should go with them.

    The service's own has what an organization's needs: an organization.
    """

    organization_id: str
    head: Head | None
    has_organization: bool
    events: Iterable[StoredEvent]


@contextmanager
def snapshot() -> Iterator[None]:
    """Read everything as of one moment: what is written meanwhile is not seen, in no table."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")  # Behind PgBouncer the role has one.
        yield


def read_chains(only: str | None = None) -> Iterator[Chain]:
    """Yield every organization's chain, or one's; call it inside a snapshot.

    Read a chain's events before going on to the next; those that were not read are passed over.
    """
    events = AuditEvent.objects.filter(**{} if only is None else {"organization_id": only})
    groups = groupby(_read(events), key=attrgetter("organization_id"))
    group = next(groups, None)
    for organization_id, sequence, seal_, has_organization in _known(only):
        # Both are in the order of the database, whichever that is.
        is_here = group is not None and group[0] == organization_id
        yield Chain(
            organization_id,
            None if seal_ is None else Head(organization_id, sequence or 0, bytes(seal_)),
            has_organization,
            group[1] if is_here and group else (),
        )
        if is_here:
            group = next(groups, None)


def read_from(event: StoredEvent) -> Iterator[StoredEvent]:
    """Yield the other events of its chain from its number on."""
    return _read(
        AuditEvent.objects.filter(
            organization_id=event.organization_id, sequence__gte=event.sequence
        ).exclude(pk=event.id)
    )


def _known(only: str | None) -> Iterator[tuple[Any, ...]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(CHAINS, {"only": only, "service": SERVICE})
        while rows := cursor.fetchmany(AT_A_TIME):
            yield from rows


def _read(events: QuerySet[AuditEvent]) -> Iterator[StoredEvent]:
    """Read rows as they stand, those too that Python could not: infinite times, endless numbers."""
    names = [name for name in AuditEvent.sealed_columns() if name not in ("created_at", "changes")]
    rows = events.order_by("organization_id", "sequence").values(
        *names,
        "seal",
        created_text=Cast("created_at", TextField()),
        changes_text=Cast("changes", TextField()),
    )
    for row in rows.iterator(chunk_size=AT_A_TIME):
        stored = bytes(row.pop("seal") or b"")
        row["created_at"] = _moment(row.pop("created_text"))
        row["changes"] = _json(row.pop("changes_text"))
        yield StoredEvent(row, stored)


def _moment(text: str | None) -> datetime | str | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return text


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except (ValueError, RecursionError):
        return text
