"""Who does things, as the audit log names them."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models


class ActorType(models.TextChoices):
    """The kinds of actor an event can name."""

    KEY = "key"
    STAFF = "staff"
    CLI = "cli"
    SYSTEM = "system"
    STRANGER = "stranger"


def actor_types() -> list[tuple[str, str]]:
    """Return the kinds; the migration stores this name, so that a new one needs no migration."""
    return ActorType.choices


@dataclass(frozen=True)
class Actor:
    """Whom an event names: the kind, the id in our tables, and what people call it.

    `locator` says which secret a key presented, so that a verb can check that it still lives.
    """

    type: ActorType
    id: str
    label: str
    locator: str = ""

    @classmethod
    def staff(cls, user: AbstractBaseUser) -> Actor:
        """A member of staff."""
        return cls(ActorType.STAFF, id=str(user.pk), label=user.get_username())

    @classmethod
    def cli(cls) -> Actor:
        """Whoever may run commands on the server."""
        return cls(ActorType.CLI, id="", label="command line")

    @classmethod
    def system(cls) -> Actor:
        """The service itself."""
        return cls(ActorType.SYSTEM, id="", label="system")

    @classmethod
    def stranger(cls) -> Actor:
        """Whoever sent a request without showing who it is."""
        return cls(ActorType.STRANGER, id="", label="stranger")

    def __str__(self) -> str:
        """`key:key_3iS8wW2xYbC4`, `staff:sam`, `cli`, `system` or `stranger`."""
        names = {ActorType.KEY: f"key:{self.id}", ActorType.STAFF: f"staff:{self.label}"}
        return names.get(self.type, self.type.value)
