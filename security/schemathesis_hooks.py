"""What the OpenAPI document cannot state: that an end must lie within the next ten years, and that a
name must show something. Data that fits the document is made to fit these two rules as well."""

import re
from datetime import UTC, datetime, timedelta

import schemathesis


@schemathesis.hook
def before_call(ctx, case, kwargs):
    body = case.body
    if case.operation.label != "POST /v1/keys" or not isinstance(body, dict):
        return
    if _is_moment(body.get("expires_at")):
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    name = body.get("name")
    if isinstance(name, str) and not name.isalnum():
        # Where the pattern's idea of a space is JavaScript's, with the byte order mark.
        trimmed = re.sub(r"^[\s\ufeff]+|[\s\ufeff]+$", "", name)
        if 0 < len(trimmed) <= 100:
            body["name"] = "x" * len(trimmed)


def _is_moment(value):
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False
