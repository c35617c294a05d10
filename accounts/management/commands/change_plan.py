from argparse import SUPPRESS, ArgumentTypeError
from typing import Any, Final

from django.core.management.base import CommandParser

from accounts.models import Organization, Plan
from accounts.models.organization import OVERRIDES
from audit.actor import Actor
from web.commands import VerbCommand

MOST_DIGITS: Final = 9


class Command(VerbCommand):
    help = (
        "Change an organization's plan, and limits that override the plan's. Takes effect with the "
        "next request. Prints the plan's slug."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", metavar="ORG_ID")
        parser.add_argument("--plan", default=SUPPRESS, help="the plan's slug")
        for name in OVERRIDES:
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=limit,
                default=SUPPRESS,
                metavar="N",
                help="a number, or “plan” for the plan's own limit",
            )
        parser.add_argument("--reason", required=True)

    def run(self, **options: Any) -> str:
        organization = Organization.find(options["organization"])
        terms: dict[str, Any] = {name: options[name] for name in OVERRIDES if name in options}
        if "plan" in options:
            terms["plan"] = Plan.find(options["plan"])
        if organization.change_plan(actor=Actor.cli(), reason=options["reason"], **terms):
            self.tell(f"Changed {organization}, from its next request on.")
        else:
            self.tell(f"{organization} has these terms already; nothing changed.")
        return organization.plan_id


def limit(text: str) -> int | None:
    """Parse an override. Return None for the plan's own limit."""
    if text == "plan":
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > MOST_DIGITS:
        raise ArgumentTypeError(f"a number of at most {MOST_DIGITS} digits, or “plan”")
    return int(text)
