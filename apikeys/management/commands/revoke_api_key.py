import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apikeys.models import ApiKey, KeySecret
from apikeys.plaintext import is_well_formed
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from web.commands import VerbCommand
from web.input.text import clean_line


class Command(VerbCommand):
    help = "Revoke an API key, at once and for good, and print its id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key",
            metavar="KEY_OR_ID",
            help="key_…, or the whole key; - reads it from standard input",
        )
        parser.add_argument("--reason", required=True)

    def run(self, **options: Any) -> str:
        reason = clean_line(options["reason"], field="--reason", max_length=200)
        named = sys.stdin.readline() if options["key"] == "-" else options["key"]
        api_key = self._find(named.strip())
        if revoke(api_key, actor=Actor.cli(), reason=reason):
            self.tell(f"Revoked {api_key}: the next request with it is refused.")
        else:
            self.tell(f"{api_key} was already revoked; nothing changed.")
        return api_key.id

    def _find(self, named: str) -> ApiKey:
        found = None
        if is_well_formed(named):
            secret = KeySecret.objects.find(named)
            found = secret.api_key if secret else None
        elif named.isascii() and named.isprintable():
            found = ApiKey.objects.filter(pk=named).first()
        if found is None:
            raise CommandError("There is no such key. Give its id, key_…, or the whole key.")
        return found
