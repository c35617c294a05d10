"""The examples of the OpenAPI document."""

from typing import Any, Final

_SECRET: Final = {
    "locator": "3iS8wW2x",
    "key_hint": "...9abc",
    "created_at": "2026-03-11T10:30:00Z",
    "last_used_at": "2026-03-12T08:15:00Z",
    "expires_at": None,
}

KEY: Final[dict[str, Any]] = {
    "id": "key_3iS8wW2xYbC4",
    "object": "api_key",
    "name": "CI/CD Pipeline",
    "key_hint": "...9abc",
    "scopes": ["tests:read", "tests:write"],
    "created_at": "2026-03-11T10:30:00Z",
    "expires_at": None,
    "livemode": True,
    "status": "active",
    "last_used_at": "2026-03-12T08:15:00Z",
    "revoked_at": None,
    "revoked_reason": None,
    "created_by": "key:key_8Zp4QvN1kLm7",
    "allowed_ips": None,
    "secrets": [_SECRET],
    "max_tests_per_month": None,
    "scope_usage": {"tests:read": "2026-05-02", "tests:write": None},
    "unused_scopes": ["tests:write"],
}

KEY_USAGE: Final[dict[str, Any]] = {
    "object": "key_usage",
    "key_id": "key_3iS8wW2xYbC4",
    "days": [
        {"date": "2026-03-11", "requests": 1200, "limited": 3},
        {"date": "2026-03-12", "requests": 0, "limited": 0},
    ],
    "livemode": True,
}

USAGE: Final[dict[str, Any]] = {
    "object": "usage",
    "period_start": "2026-03-01T00:00:00Z",
    "period_end": "2026-04-01T00:00:00Z",
    "tests": {"used": 145, "limit": 1000, "overage": 0, "resets_at": "2026-04-01T00:00:00Z"},
    "domains": {"used": 3, "limit": 10},
    "api_calls": {"total": 48210, "rate_limited": 12},
    "livemode": True,
}

ISSUED_KEY: Final[dict[str, Any]] = {
    **{name: KEY[name] for name in ("id", "object", "name")},
    "key": "rk_live_3iS8wW2x_…",
    **KEY,
    "last_used_at": None,
    "secrets": [{**_SECRET, "last_used_at": None}],
}

ROTATED_KEY: Final[dict[str, Any]] = {
    **ISSUED_KEY,
    "key": "rk_live_Qw9Zt5Rb_…",
    "key_hint": "...7xyz",
    "last_used_at": "2026-03-12T08:15:00Z",
    "secrets": [
        {
            **_SECRET,
            "locator": "Qw9Zt5Rb",
            "key_hint": "...7xyz",
            "last_used_at": None,
            "created_at": "2026-03-12T09:00:00Z",
        },
        {**_SECRET, "expires_at": "2026-03-13T09:00:00Z"},
    ],
}

REVOKED_KEY: Final[dict[str, Any]] = {
    **KEY,
    "status": "revoked",
    "revoked_at": "2026-03-12T09:00:00Z",
    "revoked_reason": "exposed in a build log",
    "cascade": {"keys_revoked": 2, "secrets_ended": 1},
}

EVENT: Final[dict[str, Any]] = {
    "id": "evt_5Yk2mVb9TzXc",
    "object": "event",
    "action": "api_key.changed",
    "actor": {"type": "key", "id": "key_8Zp4QvN1kLm7", "label": "Terraform"},
    "target": {"type": "api_key", "id": "key_3iS8wW2xYbC4"},
    "reason": None,
    "changes": {"scopes": [["tests:read", "tests:write"], ["tests:read"]]},
    "ip": "192.0.2.7",
    "user_agent": "curl/8.5.0",
    "request_id": "req_7Hq2mVb9TzXc",
    "created_at": "2026-03-12T09:00:00Z",
}

AUTH_CONTEXT: Final[dict[str, Any]] = {
    "key_id": "key_3iS8wW2xYbC4",
    "key_name": "CI/CD Pipeline",
    "scopes": ["tests:read", "tests:write"],
    "organization": {"id": "org_8Rt5kLmQ2vNz", "name": "Your Company", "plan": "team"},
    "usage": {"tests_this_month": 145, "tests_limit": 1000, "domains": 3, "domains_limit": 10},
    "livemode": True,
}


def a_list(*objects: dict[str, Any]) -> dict[str, Any]:
    """Return a page of these, the last one."""
    return {"object": "list", "data": list(objects), "has_more": False}
