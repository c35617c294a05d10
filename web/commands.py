"""The base of our management commands."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from web.errors.catalogue import CATALOGUE
from web.errors.refusals import Refusal


class VerbCommand(BaseCommand, ABC):
    """Calls one verb: its value goes alone to stdout, everything said to people to stderr."""

    @abstractmethod
    def run(self, **options: Any) -> str:
        """Do it and return the value; raise Refusal or CommandError."""

    def handle(self, *args: Any, **options: Any) -> str:
        """Raises CommandError with what the refusal says and how to mend it."""
        try:
            return self.run(**options)
        except Refusal as refusal:
            # The catalogue's own fix speaks of requests.
            is_general = refusal.fix == CATALOGUE[refusal.code].fix
            text = refusal.message if is_general else f"{refusal.message} {refusal.fix}"
            raise CommandError(text) from None

    def tell(self, text: str) -> None:
        """Say something to the person at the terminal."""
        self.stderr.write(text, style_func=str)


class NumberedKeysCommand(BaseCommand, ABC):
    """Prints how much hangs on each number of a setting, a line each: number, count, role.

    Exits 1 if something hangs on a number that the setting does not list.
    """

    setting: str

    @abstractmethod
    def counts(self) -> Mapping[int, int]:
        """Return how much hangs on each number."""

    def handle(self, *args: Any, **options: Any) -> None:
        counts, listed = self.counts(), list(getattr(settings, self.setting))
        missing = sorted(set(counts) - set(listed))
        roles = dict.fromkeys(listed, "verifies") | dict.fromkeys(missing, "MISSING")
        roles[listed[0]] = "signs"
        for number, role in roles.items():
            self.stdout.write(f"{number} {counts.get(number, 0)} {role}")
        if missing:
            raise CommandError(f"Put the missing number back into {self.setting}, at the end.")
