"""The base of our management commands."""

from abc import ABC, abstractmethod
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from reachscore.api.catalogue import CATALOGUE
from reachscore.api.refusals import Refusal


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
