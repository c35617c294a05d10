"""What a mail says of each notice: what happened, when, to which key, by whom, and what helps."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from audit.actor import ActorType
from audit.models import AuditEvent, OutboxRow
from web.input.moments import format_moment
from web.redaction import printable, redact

LONGEST: Final = 300  # Of one text in a mail.

TITLES: Final = {
    "api_key.leaked": "An API key has leaked",
    "api_key.expiring": "An API key expires within {days}",
    "api_key.expired": "An API key has expired",
    "api_key.unused": "An API key was not used for 90 days",
    "usage.quota_80": "80 % of the plan's {meter} are used",
    "usage.quota_100": "The plan's {meter} are used up",
    "organization.contacts_changed": "The contacts for notices were changed",
    "organization.leak_policy_changed": "The policy for leaked keys was changed",
}
# By the field `done` of `api_key.leaked`.
AFTER_A_LEAK: Final = {
    "key_revoked": "The key was revoked: every request with it is refused. Make a new key for "
    "the programs that used it, and look what was done with it: GET /v1/events?actor={key}.",
    "secrets_ended": "The secret that leaked was ended. The key lives on with its newest secret, "
    "which was not found. Rotate the key if you are not sure.",
    "notified": "Nothing was done, because your policy for leaks is “notify”: who has found the "
    "key can use it. Rotate it now, and end the old secret at once.",
    "already_ended": "What was found did not work any more. There is nothing to do, but find out "
    "how it got there.",
}
CASCADE: Final = "It made other keys, which live on. If a stranger has used it, revoke them all."
RUN_WITH: Final = "Run this with an unrestricted {mode} key without limits in REACHSCORE_KEY:"
IF_NOT_YOU: Final = "If you did not want this, write to our support: a key may be stolen."
ADVICE: Final = {
    "api_key.revoked": "Every request with it is refused. Make a new key for the programs "
    "that used it.",
    "api_key.expiring": "A rotation does not move its end. Give it a later one, or make a new key.",
    "api_key.expired": "Every request with it is refused. Make a new key.",
    "api_key.unused": "Revoke it if nobody needs it.",
    "usage.quota_80": "What goes beyond the limit is refused with 403 quota_exceeded.",
    "usage.quota_100": "What goes beyond it is refused with 403 quota_exceeded.",
    "organization.contacts_changed": IF_NOT_YOU,
    "organization.leak_policy_changed": IF_NOT_YOU,
}
BY: Final = {
    ActorType.STAFF: "our staff",
    ActorType.CLI: "our staff",
    ActorType.SYSTEM: "this service",
    ActorType.STRANGER: "somebody without a key",
}

LABELS: Final = {"url": "Found at", "source": "Reported by", "secrets": "Secrets found"}


@dataclass
class Notice:
    """One notice. Its `facts` are labels with texts, which are no links."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    advice: str = ""
    commands: list[str] = field(default_factory=list)
    link: str = ""


def shown(text: object, longest: int = LONGEST) -> str:
    """Return a text of a customer or a stranger, printable and cut, of which nobody makes a link.

    Mail programs make links of addresses in plain text, too: `evil.example` becomes
    `evil[.]example`, and `https://` becomes `https[:]//`, as security reports write them.
    """
    line = redact(printable(str(text)[: longest * 2]))
    line = f"{line[:longest]}…" if len(line) > longest else line
    return re.sub(r"[.\u3002\uff0e\uff61](?=[^\W\d_])", "[.]", line.replace("://", "[:]//"))


def notice_of(row: OutboxRow, event: AuditEvent | None, api_key: Any) -> Notice:
    """Return what to say of a row: with its event, and the `presentable` key, if it has them."""
    days = row.data.get("days")
    title = TITLES.get(row.type) or row.type.replace("api_key.", "API key ").replace("_", " ")
    words = {"meter": "quota", **row.data, "days": "a day" if days == 1 else f"{days} days"}
    notice = Notice(title.replace("organization.", "Organization ").format_map(words))
    notice.facts.append(("When", format_moment(row.created_at)))
    if api_key:
        notice.facts += [
            ("Key", f"{shown(api_key.name)} (…{api_key.last_four}, {row.target_id})"),
            ("Mode", "live" if api_key.livemode else "test"),
        ]
        if api_key.expires_at:
            notice.facts.append(("Its end", format_moment(api_key.expires_at)))
    changes = {name: after for name, (_, after) in event.changes.items()} if event else {}
    if event:
        notice.facts += _facts(event, is_leak=row.type == "api_key.leaked")
    else:
        notice.facts += [(n.capitalize(), f"{v:,}") for n, v in row.data.items() if n in _COUNTS]
    notice.advice = ADVICE.get(row.type, "") or AFTER_A_LEAK.get(changes.get("done", ""), "")
    notice.advice = notice.advice.replace("{key}", row.target_id)
    notice.commands += _commands(row, changes, api_key)
    if notice.commands and not notice.advice:
        notice.advice = "If you did not want this, rotate the key, or revoke it."
    if "cascade" in changes:
        notice.advice += f" {CASCADE}"
    if notice.commands and api_key:
        notice.advice += " " + RUN_WITH.format(mode="live" if api_key.livemode else "test")
    return notice


_COUNTS: Final = ("used", "limit")


def _facts(event: AuditEvent, *, is_leak: bool) -> Iterator[tuple[str, str]]:
    kind = ActorType(event.actor_type)
    name = (
        event.actor_label
        if kind is ActorType.SCANNER
        else f"{event.actor_label} ({event.actor_id})"
    )
    yield "By", BY.get(kind) or shown(name)
    if kind is ActorType.KEY:
        if event.ip:
            yield "From", event.ip
        for label, text in (("With", event.user_agent), ("Reason", event.reason)):
            if text:
                yield label, shown(text)
    for name, (before, after) in event.changes.items():
        if before == after or name in ("done", "cascade"):
            continue
        label = LABELS.get(name) or name.replace("_", " ").capitalize()
        yield label, _plain(after) if is_leak else f"{_plain(before)} → {_plain(after)}"


def _plain(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return shown(", ".join(map(str, value)) if isinstance(value, list) else value)


def _commands(row: OutboxRow, changes: Mapping[str, Any], api_key: Any) -> Iterator[str]:
    """Yield what to run: nothing of it but our own words, ids, moments and addresses."""
    if not api_key:
        return
    of_key = f"/v1/keys/{row.target_id}"
    done = changes.get("done")
    if row.type in ("api_key.revoked", "api_key.expired") or done == "key_revoked":
        yield _curl("/v1/keys", "POST", body=_rights(api_key))
    elif row.type == "api_key.expiring" and api_key.expires_at:
        later = api_key.expires_at + timedelta(days=90)
        yield _curl(of_key, "PATCH", body={"expires_at": format_moment(later)})
    elif row.type == "api_key.unused":
        yield _curl(of_key, "DELETE")
    elif done == "notified":
        yield _curl(f"{of_key}/rotate", "POST", body={"overlap_seconds": 0})
    elif done != "already_ended":
        yield _curl(f"{of_key}/rotate", "POST")
    if "cascade" in changes:
        yield _curl(f"{of_key}?cascade=true", "DELETE")


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


def _curl(path: str, method: str, *, body: Mapping[str, Any] | None = None) -> str:
    lines = [f"curl -X {method} '{settings.PUBLIC_URL}{path}'"]
    lines.append('  -H "Authorization: Bearer $REACHSCORE_KEY"')
    if body:
        lines += ['  -H "Content-Type: application/json"', f"  -d '{json.dumps(body)}'"]
    return " \\\n".join(lines)
