"""The one body that every variant answers with."""

from typing import Any

from bench.peers.models import Key


def answer(key: Key) -> dict[str, Any]:
    """Build the body of ours, as a plain dictionary: nested serializers would cost more."""
    customer = key.customer
    return {
        "key_id": key.key_id,
        "key_name": key.key_name,
        "scopes": key.scopes,
        "organization": {"id": customer.id, "name": customer.name, "plan": customer.plan},
        "usage": {
            "tests_this_month": customer.tests_this_month,
            "tests_limit": customer.tests_limit,
            "domains": customer.domains,
            "domains_limit": customer.domains_limit,
        },
        "livemode": key.livemode,
    }
