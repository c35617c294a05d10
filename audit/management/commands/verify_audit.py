import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Sum
from django.template.defaultfilters import pluralize

from audit.models import AuditHead
from audit.verify import Finding, find_chains, missing_guards, those_after, verify

HEAD: Final = re.compile(r"([!-~]{1,40}) ([0-9]{1,18}) ([0-9a-f]{64})")
MOST_SHOWN: Final = 20
SECONDS_BETWEEN: Final = 0.1

# By organization: kept seals by the number of their event.
Kept = dict[str, dict[int, bytes]]


class Command(BaseCommand):
    help = (
        "Verify the audit log: check every event of every organization against its seal. Prints "
        "the head of each log in a line: organization, number of its last event, seal. Keep these "
        "lines elsewhere: with --expect, they show later if the end of a log was cut off. Names "
        "the first event of each log that does not fit, and exits 1 in the end. To go on after an "
        "interruption, give the organization of the last line as --after."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--organization", metavar="ORG_ID", help="only this one's")
        which.add_argument(
            "--after", metavar="ORG_ID", default="", help="only those of the organizations after it"
        )
        parser.add_argument(
            "--expect",
            metavar="FILE",
            help="kept heads, each of which must still be in its log (- for standard input)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        only, after = options["organization"], options["after"]
        kept = self._kept(options["expect"], only)
        heads = AuditHead.objects.filter(**({"pk": only} if only else {"pk__gt": after}))
        self.total = heads.aggregate(total=Sum("sequence", default=0))["total"]
        self.done = self.faults = chains = 0
        self.due = 0.0
        for organization_id in find_chains(after):
            if only not in (None, organization_id):
                continue
            chains += 1
            seals = kept.pop(organization_id, {})
            head, finding = verify(organization_id, kept=seals, checked=self._count)
            if finding is not None:
                self._tell(finding)
            if head is not None:
                self.stdout.write(str(head))
                self.stdout.flush()  # An interrupted run goes on after its last line.
        if only is not None and not chains and not kept:
            message = "There is no organization with this id; it looks like org_3iS8wW2xYbC4."
            raise CommandError(message)
        for guard in missing_guards():
            self._tell(Finding(guard, "this trigger of the table is missing or disabled"))
        for gone in those_after(after, ids=kept):
            self._tell(Finding(gone, "its head was kept, but the audit log is gone"))
        events = f"{self.done:,} event{pluralize(self.done)}"
        counted = f"{events} in {chains:,} chain{pluralize(chains)}"
        self.stderr.write(f"Checked {counted}.", style_func=str)
        if self.faults:
            shown = f"; the first {MOST_SHOWN} are shown" if self.faults > MOST_SHOWN else ""
            raise CommandError(f"Found {self.faults:,} fault{pluralize(self.faults)}{shown}.")

    def _tell(self, finding: Finding) -> None:
        """Count a fault, and show it at once if it is one of the first MOST_SHOWN."""
        self.faults += 1
        if self.faults <= MOST_SHOWN:
            self.stderr.write(str(finding), style_func=str)

    def _count(self) -> None:
        """Count an event, and show the count now and then if stderr is a terminal."""
        self.done += 1
        if time.monotonic() > self.due:
            self.due = time.monotonic() + SECONDS_BETWEEN
            if self.stderr.isatty():
                # Without a line end: the next line of output overwrites it, and is longer.
                self.stderr.write(f"{self.done:,} of {self.total:,}", str, ending="\r")
                self.stderr.flush()

    def _kept(self, file: str | None, only: str | None) -> Kept:
        """Read the kept heads. Raise CommandError if the file cannot be used."""
        if file is None:
            return {}
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text("ascii", "replace")
            kept = read_heads(text.splitlines())
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise CommandError(f"{file} cannot be used. It is no text.") from None
        except ValueError as error:
            raise CommandError(f"{file} cannot be used. {error}") from None
        return {name: seals for name, seals in kept.items() if only in (None, name)}


def read_heads(lines: Iterable[str]) -> Kept:
    """Parse lines `organization sequence seal`, which may come from several runs.

    Raises ValueError, with the line's number, for a malformed or contradictory line.
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
        # In `verify_audit --expect heads > heads`, the shell empties the file first.
        raise ValueError("There is no head in it: was it overwritten before it was read?")
    return kept
