import re
import sys
import time
from collections.abc import Iterable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db.models import Sum
from django.template.defaultfilters import pluralize

from audit.models import AuditHead
from audit.verify import Finding, find_chains, missing_guards, verify

HEAD: Final = re.compile(r"([!-~]{1,40}) ([0-9]{1,18}) ([0-9a-f]{64})")
MOST_SHOWN: Final = 20
SECONDS_BETWEEN: Final = 0.1

# For each organization, the seals of some of its events by their numbers.
Kept = dict[str, dict[int, bytes]]


class Progress:
    """Count events, and show the count on the last line of `stream` if that is a terminal."""

    def __init__(self, stream: OutputWrapper, *, total: int) -> None:
        self._stream, self._is_shown, self._total = stream, stream.isatty(), total
        self._due = 0.0
        self.done = 0

    def step(self) -> None:
        self.done += 1
        if self._is_shown and time.monotonic() > self._due:
            self._due = time.monotonic() + SECONDS_BETWEEN
            self._stream.write(f"\r{self.done:,} of {self._total:,}", ending="")
            self._stream.flush()

    def hide(self) -> None:
        """Clear the line for something else; the next step writes it again."""
        if self._is_shown:
            self._stream.write("\r\033[K", ending="")


class Command(BaseCommand):
    help = (
        "Verify the audit log: every event of every organization against its seal. Prints the head "
        "of each log, a line each: organization, number of its last event, seal. Kept elsewhere, "
        "they show later whether a log's end was cut off. Exits 1, naming the first event of each "
        "log that does not fit, and whether the events after it do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="ORG_ID", help="only this one's")
        parser.add_argument(
            "--expect",
            metavar="FILE",
            help="heads that were kept: each must still be in its log (- for standard input)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        only = options["organization"]
        kept = self._kept(options["expect"], only)
        chains = [id_ for id_ in find_chains() if only in (None, id_)]
        if not chains and not kept:
            raise CommandError(
                "There is no organization with this id; it looks like org_3iS8wW2xYbC4."
            )
        total = AuditHead.objects.filter(pk__in=chains).aggregate(total=Sum("sequence"))["total"]
        progress = Progress(self.stderr, total=total or 0)
        findings: list[Finding] = []
        for organization_id in chains:
            seals = kept.pop(organization_id, {})
            head, finding = verify(organization_id, kept=seals, checked=progress.step)
            progress.hide()
            if finding is not None:
                findings.append(finding)
            if head is not None:
                self.stdout.write(str(head))
        findings += (
            Finding(guard, "this trigger of the table is gone or switched off")
            for guard in missing_guards()
        )
        findings += (Finding(gone, "its audit log was kept, and is gone") for gone in kept)
        events = f"{progress.done:,} event{pluralize(progress.done)}"
        counted = f"{events} in {len(chains):,} chain{pluralize(len(chains))}"
        self.stderr.write(f"Checked {counted}.", style_func=str)
        if findings:
            raise CommandError(report(findings))

    def _kept(self, file: str | None, only: str | None) -> Kept:
        """Return the heads to compare with, of one organization perhaps.

        Raises CommandError.
        """
        if file is None:
            return {}
        try:
            if file == "-":
                kept = read_heads(sys.stdin)
            else:
                with open(file, encoding="ascii", errors="replace") as lines:
                    kept = read_heads(lines)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise CommandError(f"{file} cannot be used. It is no text.") from None
        except ValueError as error:
            raise CommandError(f"{file} cannot be used. {error}") from None
        return {name: seals for name, seals in kept.items() if only in (None, name)}


def read_heads(lines: Iterable[str]) -> Kept:
    """Read lines `organization sequence seal`, of as many runs as were kept.

    Raises ValueError that says what is wrong.
    """
    kept: Kept = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = HEAD.fullmatch(line.strip())
        if match is None:
            raise ValueError(
                f"Line {number} is no head: it should hold an organization's id, a number and a "
                "seal of 64 hexadecimal digits."
            )
        organization_id, sequence, seal = match[1], int(match[2]), bytes.fromhex(match[3])
        seals = kept.setdefault(organization_id, {})
        if seals.setdefault(sequence, seal) != seal:
            raise ValueError(f"Line {number} contradicts an earlier line.")
    if not kept:
        # As after `verify_audit --expect heads > heads`, where the shell empties it first.
        raise ValueError("There is no head in it: was it overwritten before it was read?")
    return kept


def report(findings: Iterable[Finding]) -> str:
    """Return a line a finding, as far as people read on."""
    lines = [str(finding) for finding in findings]
    more = len(lines) - MOST_SHOWN
    return "\n".join([*lines[:MOST_SHOWN], *([f"… and {more:,} more chains."] if more > 0 else [])])
