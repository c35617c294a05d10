from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import Actor, Organization, Plan
from reachscore.api.commands import VerbCommand
from reachscore.api.text import did_you_mean


class Command(VerbCommand):
    help = "Create an organization and print its id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--plan", default="free", help="its plan's slug (default: free)")

    def run(self, **options: Any) -> str:
        plans = {plan.slug: plan for plan in Plan.objects.all()}
        if options["plan"] not in plans:
            hint = did_you_mean(options["plan"], plans)
            raise CommandError(f"There is no such plan.{hint} Plans: {', '.join(plans)}.")
        organization = Organization(name=options["name"], plan=plans[options["plan"]])
        organization.create(actor=Actor.cli())
        self.tell(f"Created {organization.name} on the {organization.plan} plan.")
        return organization.id
