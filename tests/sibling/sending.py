"""Sending beyond the database: in this sibling, a list of what would have been sent."""

from tests.sibling.models import EmailTest

outbox: list[str] = []


def send(test: EmailTest) -> None:
    outbox.append(test.id)
