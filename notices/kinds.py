"""Which notices are sent at once, which are first, and which cannot be stopped."""

from typing import Final

from audit.actor import ActorType

VERIFICATION: Final = "contact.verification"  # The mail with the link; no event stands for it.
# What a thief would stop first.
UNSTOPPABLE: Final = frozenset(
    {"api_key.leaked", "organization.contacts_changed", "organization.leak_policy_changed"}
)
AT_ONCE: Final = UNSTOPPABLE | {"usage.quota_100"}
FIRST: Final = ("api_key.leaked", "api_key.revoked")


def is_at_once(type_: str, *, actor: str | None = None, days: int | None = None) -> bool:
    """Return True for a notice that is mailed by itself; the others wait for the weekly mail.

    `actor` is the type of the event's actor, `days` those that an expiring key has left.
    """
    return (
        type_ in AT_ONCE
        or (type_ == "api_key.revoked" and actor == ActorType.STAFF)
        or (type_ == "api_key.expiring" and days == 1)
    )
