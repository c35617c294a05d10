"""The one body that every variant answers with, and the one statement of both floors."""

import json
from typing import Any, Final

FIND: Final = """
    SELECT k.key_id, k.key_name, k.scopes, k.livemode, c.id, c.name, c.plan,
           c.tests_this_month, c.tests_limit, c.domains, c.domains_limit
      FROM peers_bearerkey k
      JOIN peers_customer c ON c.id = k.customer_id
     WHERE k.digest = %s AND NOT k.revoked
"""


def answer_of_row(row: tuple[Any, ...]) -> bytes:
    """Build the body of what FIND found."""
    key_id, key_name, scopes, livemode, customer, name, plan, tests, most_tests, domains, most = row
    body = {
        "key_id": key_id,
        "key_name": key_name,
        "scopes": scopes,
        "organization": {"id": customer, "name": name, "plan": plan},
        "usage": {
            "tests_this_month": tests,
            "tests_limit": most_tests,
            "domains": domains,
            "domains_limit": most,
        },
        "livemode": livemode,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def answer(key: Any) -> dict[str, Any]:
    """Build the body of a models.Key, as a plain dictionary: nested serializers would cost more."""
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
