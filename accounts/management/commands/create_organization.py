from typing import Any

from django.core.management.base import CommandParser

from accounts.models import Organization, Plan
from audit.actor import Actor
from web.commands import VerbCommand


class Command(VerbCommand):
    help = "Create an organization and print its id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--plan", default="free", help="its plan's slug (default: free)")

    def run(self, **options: Any) -> str:
        organization = Organization(name=options["name"], plan=Plan.find(options["plan"]))
        organization.create(actor=Actor.cli())
        self.tell(f"Created {organization.name} on the {organization.plan} plan.")
        return organization.id
