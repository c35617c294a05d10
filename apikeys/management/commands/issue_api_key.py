from typing import Any

from django.core.management.base import CommandParser

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES, all_scopes
from apikeys.verbs.issue import issue
from audit.actor import Actor
from web.commands import VerbCommand
from web.input.moments import parse_moment


class Command(VerbCommand):
    help = "Issue an API key and print it: once, it is stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", metavar="ORG_ID")
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--scope",
            dest="scopes",
            nargs="+",
            action="extend",
            metavar="SCOPE",
            help=f"one or more of {', '.join(ALL_SCOPES)} (default: all)",
        )
        parser.add_argument("--expires-at", metavar="TIME", help="such as 2030-01-31T12:00:00Z")
        parser.add_argument("--test", action="store_true", help="a key of the sandbox")

    def run(self, **options: Any) -> str:
        organization = Organization.find(options["organization"])
        expires_at = options["expires_at"]
        if expires_at is not None:  # Empty, of an unset variable perhaps, it must not mean "never".
            expires_at = parse_moment(expires_at, field="--expires-at")
        api_key = ApiKey(
            organization=organization,
            livemode=not options["test"],
            name=options["name"],
            scopes=options["scopes"] or all_scopes(),
            expires_at=expires_at,
        )
        plaintext = issue(api_key, actor=Actor.cli())
        self.tell(f"Issued {api_key.id} to {organization}. Store the key now; it is shown once.")
        return plaintext
