"""Base classes of management commands."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from web.errors.catalogue import CATALOGUE
from web.errors.refusals import Refusal


class VerbCommand(BaseCommand, ABC):
    """A command that calls one verb. Only its value goes to stdout; messages go to stderr."""

    @abstractmethod
    def run(self, **options: Any) -> str:
        """Call the verb and return the value to print. May raise Refusal or CommandError."""

    def handle(self, *args: Any, **options: Any) -> str:
        """Run the command. Turn a Refusal into a CommandError with its message and fix."""
        try:
            return self.run(**options)
        except Refusal as refusal:
            # The catalogue's default fix is about HTTP requests.
            is_general = refusal.fix == CATALOGUE[refusal.code].fix
            text = refusal.message if is_general else f"{refusal.message} {refusal.fix}"
            raise CommandError(text) from None

    def tell(self, text: str) -> None:
        self.stderr.write(text, style_func=str)


def print_uses(
    command: BaseCommand, setting: str, counts: Mapping[int, int], names: Mapping[int, str]
) -> None:
    """Print how many rows use each numbered key of a setting, one line each: number, count, role.

    The line of a key that does not sign ends with its `names`. Raises CommandError if rows use a
    number that the setting does not list.
    """
    listed = list(getattr(settings, setting))
    missing = sorted(set(counts) - set(listed))
    roles = dict.fromkeys(listed, "verifies") | dict.fromkeys(missing, "MISSING")
    roles[listed[0]] = "signs"
    for number, role in roles.items():
        end = "" if role == "signs" else names.get(number, "")
        command.stdout.write(f"{number} {counts.get(number, 0)} {role} {end}".rstrip())
    if missing:
        raise CommandError(f"Put the missing number back into {setting}, at the end.")
