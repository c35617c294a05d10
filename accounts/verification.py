"""Whether a chain of the audit log is what was written."""

from collections.abc import Callable, Mapping
from typing import Final

from accounts.chains import Chain, Head, StoredEvent
from accounts.diagnosis import Finding, diagnose
from accounts.models import SERVICE
from accounts.seals import GENESIS

# The head of the service's own log, which a migration makes before there is an event.
NOTHING_YET: Final = Head(SERVICE, 0, GENESIS)


def verify(
    chain: Chain, *, kept: Mapping[int, bytes], checked: Callable[[], None]
) -> Finding | None:
    """Walk the chain; return the first thing that is wrong with it, or None.

    `kept` are seals known from elsewhere, by number; `checked` is called once an event.
    """
    if chain.head is None:
        return Finding(chain.organization_id, "the head of its audit log is missing")
    last: StoredEvent | None = None
    after = GENESIS
    for number, event in enumerate(chain.events, start=1):
        checked()
        finding = _check(event, head=chain.head, number=number, after=after, kept=kept)
        if finding is not None:
            return finding
        last, after = event, event.seal
    return _check_end(chain, chain.head, last, longest=max(kept, default=0))


def _check(
    event: StoredEvent, *, head: Head, number: int, after: bytes, kept: Mapping[int, bytes]
) -> Finding | None:
    """Return what is wrong with the event that stands where `number` should, if anything is."""
    if event.sequence != number or not event.fits(after=after):
        return diagnose(event, head=head, number=number, after=after)
    what = ""
    if number > head.sequence:
        what = f"genuine, but the head counts {head.sequence} only: it was turned back"
    elif kept.get(number, event.seal) != event.seal:
        what = "rewritten: another seal was kept, so it or an event before it is not that of then"
    return Finding(event.organization_id, what, number, event.id) if what else None


def _check_end(
    chain: Chain, head: Head, last: StoredEvent | None, *, longest: int
) -> Finding | None:
    """Return what is wrong behind the last event, if anything is."""
    if last is None:
        return _check_empty(head, longest=longest)
    if last.sequence < head.sequence:
        what = f"missing: the head counts {head.sequence}, so the tail was cut off"
        return Finding(head.organization_id, what, last.sequence + 1)
    if last.seal != head.seal:
        what = "changed: the head holds another seal, so one of the two is not what was written"
        return Finding(head.organization_id, what, last.sequence, last.id)
    if last.sequence < longest:
        what = f"missing: {longest} were kept, so the tail was cut off and the head turned back"
        return Finding(head.organization_id, what, last.sequence + 1)
    if not chain.has_organization:
        return Finding(head.organization_id, "its audit log is there, and the organization is not")
    return None


def _check_empty(head: Head, *, longest: int) -> Finding | None:
    """Return what is wrong with a log without events; nothing is with the service's new one."""
    if head != NOTHING_YET:
        what = "missing: a log begins with its organization, and this one is empty"
    elif longest:
        what = f"missing: {longest} were kept, and the log is empty"
    else:
        return None
    return Finding(head.organization_id, what, 1)
