"""What was done to a chain of the audit log, told from the first event that does not fit.

An HMAC that fits is proof, so what is said with "stands as number" is certain. An event that fits
nowhere was changed or made by somebody without the key; which of the two, its neighbours tell.
"""

from dataclasses import dataclass
from typing import Final

from django.conf import settings

from accounts.chains import Head, StoredEvent, read_from

LONGEST_SHIFT: Final = 1000  # Events taken out in a row, where the rest was renumbered.


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that is wrong with a chain, as one line for people."""

    organization_id: str
    what: str
    sequence: int | None = None
    event_id: str = ""

    def __str__(self) -> str:
        event = "" if self.sequence is None else f" event {self.sequence}"
        named = f" ({self.event_id})" if self.event_id else ""
        return f"{self.organization_id}{event}{named}: {self.what}."


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What the rest of the chain tells about an event that does not fit."""

    due: StoredEvent | None  # The event that belongs here.
    home: int | None  # The number where this event belongs.
    following: StoredEvent | None


def diagnose(event: StoredEvent, *, head: Head, number: int, after: bytes) -> Finding:
    """Say what was done where `event` stands and number `number` should, after that seal."""
    ahead = _look_ahead(event, number=number, after=after)
    due = ahead.due
    what = ""
    if event.sequence < number:
        what = "inserted: its number is taken"
    elif due is not None and event.sequence == number and ahead.home is None:
        what = f"inserted: the event that belongs here stands as number {due.sequence}"
    elif due is not None and event.sequence == number:
        what = f"out of order: the event that belongs here stands as number {due.sequence}"
    elif due is not None:
        what = f"out of order: it stands as number {due.sequence}"
        return Finding(event.organization_id, what, number, due.id)
    elif event.sequence > number:
        what = f"missing: number {event.sequence} ({event.id}) is the next"
        return Finding(event.organization_id, what, number)
    elif ahead.home is not None:
        what = f"out of order: this is number {ahead.home}, and the event that belongs here is gone"
    elif event.sequence > head.sequence:
        what = f"inserted: the head counts {head.sequence} only"
    elif event.key_id not in settings.AUDIT_KEYS and not _was_relabelled(event, after):
        what = f"cannot be checked: AUDIT_KEYS does not list number {event.key_id}"
    elif _was_pulled_forward(event, ahead.following):
        what = f"missing: the rest was renumbered, beginning with {event.id}"
        return Finding(event.organization_id, what, number)
    elif after == head.seal:
        what = "inserted: the head holds the seal of the event before"
    else:
        what = "changed: its content does not fit its seal"
    return Finding(event.organization_id, what, event.sequence, event.id)


def _look_ahead(event: StoredEvent, *, number: int, after: bytes) -> _Ahead:
    """Look through the rest of the chain for where events belong, by their seals."""
    due = event if event.fits(after=after, sequence=number) else None
    home: int | None = None
    following: StoredEvent | None = None
    for later in read_from(event):
        following = following or later
        if due is None and later.fits(after=after, sequence=number):
            due = later
        # Behind `later`, be that where it was or moved up by one.
        places = (later.sequence, later.sequence + 1) if home is None else ()
        home = next((n for n in places if event.fits(after=later.seal, sequence=n)), home)
        if due is not None and home is not None:
            break
    if home is None and due is not None and event.fits(after=due.seal, sequence=number + 1):
        home = number + 1
    return _Ahead(due, home, following)


def _was_relabelled(event: StoredEvent, after: bytes) -> bool:
    """Tell whether only the number of its key was edited."""
    return any(event.fits(after=after, seal_key_id=key_id) for key_id in settings.AUDIT_KEYS)


def _was_pulled_forward(event: StoredEvent, following: StoredEvent | None) -> bool:
    """Tell whether the event after it had a higher number: then events before it are gone."""
    return following is not None and any(
        following.fits(after=event.seal, sequence=following.sequence + shift)
        for shift in range(1, LONGEST_SHIFT + 1)
    )
