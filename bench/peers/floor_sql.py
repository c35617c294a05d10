"""The one statement of both floors, and the body they make of its row."""

import json
from typing import Any, Final

FIND: Final = """
    SELECT k.key_id, k.key_name, k.scopes, k.livemode, c.id, c.name, c.plan,
           c.tests_this_month, c.tests_limit, c.domains, c.domains_limit
      FROM peers_bearerkey k
      JOIN peers_customer c ON c.id = k.customer_id
     WHERE k.digest = %s AND NOT k.revoked
"""


def answer(row: tuple[Any, ...]) -> bytes:
    """Build the body that everybody answers with."""
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
