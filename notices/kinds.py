"""Which notices are sent at once, which are first, and which cannot be stopped."""

from typing import Final

from audit.actor import ActorType
from audit.models import OutboxRow

VERIFICATION: Final = "contact.verification"  # The mail with the link; no event stands for it.
# What a thief would stop first.
UNSTOPPABLE: Final = frozenset(
    {"api_key.leaked", "organization.contacts_changed", "organization.leak_policy_changed"}
)
FIRST: Final = ("api_key.leaked", "api_key.revoked")


def is_at_once(row: OutboxRow, actor: str | None) -> bool:
    """Return True for a notice in a mail of its own. `actor` is the type of its event's actor."""
    return (
        row.type in UNSTOPPABLE
        or row.type == "usage.quota_100"
        or (row.type == "api_key.revoked" and actor == ActorType.STAFF)
        or (row.type == "api_key.expiring" and row.data["days"] == 1)
    )
