"""What a mail says of each notice: what happened, when, to which key, by whom, and what helps."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from audit.actor import ActorType
from audit.models import AuditEvent, OutboxRow
from web.input.moments import format_moment
from web.redaction import printable, redact

LONGEST: Final = 300  # Of one text in a mail.

WORDS: Final = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


def shown(text: object, longest: int = LONGEST) -> str:
    """Return a text of a customer or a stranger, printable and cut, of which nobody makes a link.

    Mail programs make links of addresses in plain text, too: `evil.example` becomes
    `evil[.]example`, and `https://` becomes `https[:]//`, as security reports write them.
    """
    line = redact(printable(str(text)[: longest * 2]))
    line = f"{line[:longest]}…" if len(line) > longest else line
    return re.sub(r"[.\u3002\uff0e\uff61](?=[^\W\d_])", "[.]", line.replace("://", "[:]//"))


def notice_of(row: OutboxRow, event: AuditEvent | None, api_key: Any) -> dict[str, Any]:
    """Return what to say of a row: with its event, and the `presentable` key, if it has them.

    The `facts` are labels with texts, which are no links.
    """
    changes = {name: after for name, (_, after) in event.changes.items()} if event else {}
    words = WORDS.get(changes.get("done", row.type)) or WORDS.get(row.target_type, {})
    days = row.data.get("days")
    in_days = "a day" if days == 1 else f"{days} days"
    filling = {**row.data, "id": row.target_id, "days": in_days}
    if api_key:
        end = api_key.expires_at
        later = format_moment(end + timedelta(days=90)) if end else None
        filling |= {"later": json.dumps(later), "rights": json.dumps(_rights(api_key))}
    said = {name: Template(text).safe_substitute(filling) for name, text in words.items()}
    type_ = row.type.replace("api_key.", "API key ").replace("organization.", "Organization ")
    advice = said.get("advice", "")
    requests = [said["request"]] if "request" in said else []
    if "cascade" in changes:
        advice += " " + WORDS["after"]["cascade"]
        requests.append(changes["cascade"])
    if requests and api_key:
        advice += " " + WORDS["after"]["live" if api_key.livemode else "test"]
    return {
        "title": said.get("title", type_.replace("_", " ")),
        "facts": list(_facts(row, event, api_key)),
        "advice": advice,
        "commands": list(map(_curl, requests)) if api_key else [],
    }


def _facts(row: OutboxRow, event: AuditEvent | None, api_key: Any) -> Iterator[tuple[str, str]]:
    yield "When", format_moment(row.created_at)
    if api_key:
        yield "Key", f"{shown(api_key.name)} (…{api_key.last_four}, {row.target_id})"
        yield "Mode", "live" if api_key.livemode else "test"
        if api_key.expires_at:
            yield "Its end", format_moment(api_key.expires_at)
    if "used" in row.data:
        yield "Used", f"{row.data['used']:,}"
        yield "Limit", f"{row.data['limit']:,}"
    if event is None:
        return
    by = WORDS["by"].get(event.actor_type, "$actor_label ($actor_id)")
    yield "By", shown(Template(by).safe_substitute(vars(event)))
    if event.actor_type == ActorType.KEY:
        told = {"From": event.ip, "With": event.user_agent, "Reason": event.reason}
        yield from ((label, shown(text)) for label, text in told.items() if text)
    for name, (before, after) in event.changes.items():
        if before == after or name in ("done", "cascade"):
            continue
        label = WORDS["labels"].get(name) or name.replace("_", " ").capitalize()
        is_new = row.type in ("api_key.leaked", "api_key.issued")
        yield label, _plain(after) if is_new else f"{_plain(before)} → {_plain(after)}"


def _plain(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return shown(", ".join(map(str, value)) if isinstance(value, list) else value)


def _rights(api_key: Any) -> dict[str, Any]:
    """Return the body that makes a key with the scopes and limits of this one."""
    # Without scopes the new key would be unrestricted: worse than the one that has leaked.
    rights: dict[str, Any] = {"name": f"In place of {api_key.pk}", "scopes": api_key.scopes}
    if api_key.allowed_ips:
        rights["allowed_ips"] = [str(each) for each in api_key.allowed_ips]
    if api_key.expires_at and api_key.expires_at > timezone.now():
        rights["expires_at"] = format_moment(api_key.expires_at)
    if api_key.max_tests_per_month is not None:
        rights["max_tests_per_month"] = api_key.max_tests_per_month
    return rights


def _curl(request: str) -> str:
    """Return the command for a request. It has our own words, ids, moments and addresses only."""
    method, path, *body = request.split(" ", 2)
    lines = [f"curl -X {method} '{settings.PUBLIC_URL}{path}'"]
    lines.append('  -H "Authorization: Bearer $REACHSCORE_KEY"')
    if body:
        lines += ['  -H "Content-Type: application/json"', f"  -d '{body[0]}'"]
    return " \\\n".join(lines)
