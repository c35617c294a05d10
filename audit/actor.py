"""Actor: who did something, as the audit log names it."""

from dataclasses import dataclass
from typing import Self

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models


class ActorType(models.TextChoices):
    KEY = "key"
    STAFF = "staff"
    CLI = "cli"
    SYSTEM = "system"
    STRANGER = "stranger"
    SCANNER = "scanner"


def actor_types() -> list[tuple[str, str]]:
    """Return the choices. Migrations store this function's name, so a new kind needs none."""
    return ActorType.choices


@dataclass(frozen=True)
class Actor:
    """Who did something: its kind, its id in our tables, and its name for people.

    `locator` names the secret that a key presented, so that a verb can check that secret again.
    """

    type: ActorType
    id: str
    label: str
    locator: str = ""

    @classmethod
    def staff(cls, user: AbstractBaseUser) -> Self:
        return cls(ActorType.STAFF, id=str(user.pk), label=user.get_username())

    @classmethod
    def cli(cls) -> Self:
        """A person who runs commands on the server."""
        return cls(ActorType.CLI, id="", label="command line")

    @classmethod
    def system(cls) -> Self:
        return cls(ActorType.SYSTEM, id="", label="system")

    @classmethod
    def stranger(cls) -> Self:
        """An unauthenticated client."""
        return cls(ActorType.STRANGER, id="", label="stranger")

    @classmethod
    def scanner(cls, name: str) -> Self:
        """A service that searches for leaked keys and signs its reports, such as `github`."""
        return cls(ActorType.SCANNER, id=name, label=name)

    def __str__(self) -> str:
        """Return `key:key_3iS8wW2xYbC4`, `staff:sam`, `scanner:github`, or the type alone."""
        names = {ActorType.KEY: f"key:{self.id}", ActorType.STAFF: f"staff:{self.label}"}
        names[ActorType.SCANNER] = f"scanner:{self.id}"
        return names.get(self.type, self.type.value)
