"""What the OpenAPI document cannot state: that an end must lie within the next ten years, that a
text must show something, that a cursor is an id of the list, what an address looks like. Data that
fits the document is made to fit these rules as well; the rest stays as wrong as it is.

And what would hide everything else: a calling key that ends itself.
"""

import os
import re
from datetime import UTC, datetime, timedelta

import schemathesis

ID_SHAPE = r"[a-z]{2,8}_[0-9A-Za-z]{12,34}"
NOBODY = "key_3iS8wW2xYbC4"


@schemathesis.check
def answer_is_documented(ctx, response, case):
    """A `default` response would let any status pass: its description lists the codes it is for."""
    if case.method.upper() != case.operation.method.upper():
        return  # Another method than the document's: its 405 is a check of its own.
    if str(response.status_code) not in case.operation.definition.raw["responses"]:
        other = case.operation.schema.raw_schema["components"]["responses"]["OtherError"]
        code = response.json()["error"]["code"]
        assert f"`{code}`" in other["description"], f"{response.status_code} {code}: not documented"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    if (case.path_parameters or {}).get("key_id") == os.environ["FUZZ_OWN_ID"]:
        case.path_parameters["key_id"] = NOBODY
    for cursor in ("starting_after", "ending_before"):
        if re.fullmatch(ID_SHAPE, str((case.query or {}).get(cursor))):
            del case.query[cursor]
    for name in ("name", "reason"):
        if isinstance((case.query or {}).get(name), str):
            case.query[name] = _plain(case.query[name], longest=100 if name == "name" else 200)
    body = case.body
    if not isinstance(body, dict):
        return
    for field in ("overlap_seconds", "max_tests_per_month"):
        if isinstance(body.get(field), float) and body[field].is_integer():
            body[field] = int(body[field])  # For a schema 5.0 is an integer, for the API it is none.
    if _is_moment(body.get("expires_at")):
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    keys = body.get("keys")
    if isinstance(keys, list) and len(keys) > 300:  # Long ones would be a 413.
        body["keys"] = ["x"] * len(keys)
    networks = body.get("allowed_ips")
    if isinstance(networks, list) and all(isinstance(network, str) for network in networks):
        body["allowed_ips"] = [f"192.0.2.{number}" for number in range(len(networks))]
    if isinstance(body.get("name"), str):
        body["name"] = _plain(body["name"], longest=100)


def _plain(text, *, longest):
    """Return a text of the same length in which everything shows, where its length is right."""
    # Where the pattern's idea of a space is JavaScript's, with the byte order mark.
    trimmed = re.sub(r"^[\s\ufeff]+|[\s\ufeff]+$", "", text)
    fits = 0 < len(trimmed) <= longest and not text.isalnum()
    return "x" * len(trimmed) if fits else text


def _is_moment(value):
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False
