import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import Sum
from django.template.defaultfilters import pluralize
from django.utils import timezone

from accounts.chains import read_chains, snapshot
from accounts.diagnosis import Finding
from accounts.guards import missing_guards
from accounts.heads import HeadsUnreadable, Kept, read_heads
from accounts.models import AuditCheck, AuditHead
from accounts.progress import ProgressBar
from accounts.verification import verify
from reachscore.api.faults import is_database_fault

MOST_SHOWN: Final = 20


class Command(BaseCommand):
    help = (
        "Verify the audit log: every event of every organization against its seal. Prints the head "
        "of each log, a line each: organization, number of its last event, seal. Kept elsewhere, "
        "they show later whether a log's end was cut off. Exits 1, naming the first event of each "
        "log that was changed, missing, inserted or out of order."
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
        findings: list[Finding] = []
        whole: list[tuple[str, int]] = []
        now = timezone.now()
        with snapshot():
            heads = AuditHead.objects.filter(**{} if only is None else {"pk": only})
            total = heads.aggregate(total=Sum("sequence"))["total"] or 0
            bar = ProgressBar(self.stderr, total=total)
            chains = 0
            for chain in read_chains(only):
                chains += 1
                seals = kept.pop(chain.organization_id, {})
                finding = verify(chain, kept=seals, checked=bar.step)
                if finding is not None:
                    findings.append(finding)
                elif chain.head is not None:
                    whole.append((chain.organization_id, chain.head.sequence))
                if chain.head is not None:
                    bar.hide()
                    self.stdout.write(str(chain.head))
            bar.hide()
        if only is not None and not chains and not kept:
            raise CommandError(
                "There is no organization with this id; it looks like org_3iS8wW2xYbC4."
            )
        self._note(whole, now)
        findings += (
            Finding(guard, "this trigger of the table is gone or switched off")
            for guard in missing_guards()
        )
        findings += (Finding(gone, "its audit log was kept, and is gone") for gone in kept)
        counted = f"{bar.done:,} event{pluralize(bar.done)} in {chains:,} chain{pluralize(chains)}"
        self.stderr.write(f"Checked {counted}.", style_func=str)
        if findings:
            raise CommandError(report(findings))

    def _note(self, whole: list[tuple[str, int]], now: datetime) -> None:
        """Let staff see what was found whole, and when, where the database can be written."""
        try:
            AuditCheck.note(whole, at=now)
        except DatabaseError as fault:
            if not is_database_fault(fault):
                raise
            self.stderr.write("The time of this run could not be noted.", style_func=str)

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
        except HeadsUnreadable as error:
            raise CommandError(f"{file} cannot be used. {error}") from None
        except UnicodeDecodeError:
            raise CommandError(f"{file} cannot be used. It is no text.") from None
        return {name: seals for name, seals in kept.items() if only in (None, name)}


def report(findings: Iterable[Finding]) -> str:
    """Return a line a finding, as far as people read on."""
    lines = [str(finding) for finding in findings]
    more = len(lines) - MOST_SHOWN
    return "\n".join([*lines[:MOST_SHOWN], *([f"… and {more:,} more chains."] if more > 0 else [])])
