"""The rules of keys again, from the specification alone, over plain Python objects.

It has `now`, no database and nothing of the product: test_model compares the product with it.
If the product refuses, the model raises `Refused` with the code, and neither changes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

# Never ends; JSON's null.
NEVER: Final = datetime.max.replace(tzinfo=UTC)
REMEMBERED: Final = timedelta(hours=24)
DEFAULT_OVERLAP: Final = timedelta(days=1)
INHERIT: Final = "inherit"
EVERY_SCOPE: Final = frozenset(
    [
        *("tests:read", "tests:write", "domains:read", "domains:write", "monitors:read"),
        *("monitors:write", "webhooks:manage", "billing:manage"),
    ]
)

# There are five places; a list of networks is the set of places in it.
ADDRESSES: Final = {
    "a": "192.0.2.7",
    "b": "192.0.2.200",
    "c": "198.51.100.9",
    "d": "2001:db8::7",
    "e": "203.0.113.1",
}
Networks = tuple[str, ...] | None
PLACES: Final[dict[Networks, frozenset[str]]] = {
    None: frozenset("abcde"),
    ("192.0.2.0/25",): frozenset("a"),
    ("192.0.2.0/24",): frozenset("ab"),
    ("192.0.2.128/25", "192.0.2.0/25"): frozenset("ab"),
    ("198.51.100.0/24", "2001:db8::/32"): frozenset("cd"),
    ("0.0.0.0/0",): frozenset("abce"),
}


class Refused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False, repr=False)
class Key:
    """A key; `id` is the service's id."""

    organization: str
    livemode: bool
    scopes: frozenset[str]
    end: datetime
    networks: Networks
    maker: Secret | None
    revoked: bool = False
    id: str = ""
    secrets: list[Secret] = field(default_factory=list)

    def __repr__(self) -> str:
        return self.id or "a new key"

    @property
    def home(self) -> tuple[str, bool]:
        return self.organization, self.livemode


@dataclass(eq=False, repr=False)
class Secret:
    """A secret. The newest one is live and has no end of its own."""

    key: Key
    issuer: Secret | None
    end: datetime = NEVER
    ended: bool = False
    used: bool = False
    plaintext: str = ""

    def __repr__(self) -> str:
        return f"{self.key}.{self.key.secrets.index(self)}"

    @property
    def own_end(self) -> datetime:
        return min(self.end, self.key.end)

    @property
    def is_newest(self) -> bool:
        return not self.ended and self.end == NEVER

    @property
    def is_limited(self) -> bool:
        return self.own_end != NEVER or self.key.networks is not None


@dataclass(frozen=True)
class Wish:
    """The fields of a creation; `INHERIT` stands for a field left out."""

    scopes: frozenset[str] | Literal["inherit"] = INHERIT
    end: datetime | Literal["inherit"] = INHERIT
    networks: Networks | Literal["inherit"] = INHERIT


@dataclass
class Memory:
    """A creation with an Idempotency-Key that was carried out."""

    wish: Wish
    secret: Secret
    at: datetime


@dataclass(repr=False)
class World:
    """The whole state. `by` is the secret that a caller presents; None is staff."""

    now: datetime
    limit: int
    keys: list[Key] = field(default_factory=list)
    suspended: list[str] = field(default_factory=list)
    memories: dict[tuple[Key, str], Memory] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    @property
    def secrets(self) -> list[Secret]:
        return [secret for key in self.keys for secret in key.secrets]

    def is_active(self, key: Key) -> bool:
        return not key.revoked and key.end > self.now

    def is_live(self, secret: Secret) -> bool:
        return not secret.ended and secret.end > self.now

    def authenticate(self, by: Secret, place: str) -> None:
        """Raise Refused if the secret does not work. It counts as used even if its address is
        refused.
        """
        _refuse("api_key_invalid", by.key.revoked)
        _refuse("api_key_expired", not self.is_active(by.key) or not self.is_live(by))
        by.used = True
        _refuse("organization_suspended", by.key.organization in self.suspended)
        _refuse("ip_not_allowed", place not in PLACES[by.key.networks])

    def issue(
        self, by: Secret | None, home: tuple[str, bool], wish: Wish, token: str = ""
    ) -> tuple[Secret, bool]:
        """Return the secret shown and True if this is a replay."""
        _manages(by)
        memory = self.memories.get((by.key, token)) if by and token else None
        if memory and self.now - memory.at >= REMEMBERED:
            memory = None
        _refuse("idempotency_key_reused", memory is not None and memory.wish != wish)
        scopes = EVERY_SCOPE if wish.scopes == INHERIT else wish.scopes
        end, networks = (by.own_end, by.key.networks) if by else (NEVER, None)
        end = end if wish.end == INHERIT else wish.end
        networks = networks if wish.networks == INHERIT else wish.networks
        _holds(by, scopes, end, networks)
        _refuse("parameter_invalid", end <= self.now)
        siblings = [
            key
            for key in self.keys
            if key.home == home and self.is_active(key) and (not memory or key != memory.secret.key)
        ]
        _refuse("key_limit_reached", len(siblings) >= self.limit)
        if memory:
            old, key = memory.secret, memory.secret.key
            _holds(by, key.scopes, key.end, key.networks)
            stale = old.used or not old.is_newest or not self.is_active(key)
            _refuse("idempotency_secret_used", stale)
            old.ended = True
            memory.secret = self._grant(key, issuer=by)
            return memory.secret, True
        key = Key(*home, scopes, end, networks, maker=by)
        self.keys.append(key)
        secret = self._grant(key, issuer=None)
        if by and token:
            self.memories[by.key, token] = Memory(wish, secret, self.now)
        return secret, False

    def rotate(self, by: Secret | None, key: Key, overlap: timedelta | None) -> tuple[Secret, bool]:
        """Return the secret shown and False, because a rotation is never replayed."""
        _controls(by, key)
        _refuse("exceeds_caller", by is not None and by.end != NEVER)
        _refuse("key_not_active", not self.is_active(key))
        open_ = [s for s in key.secrets if self.is_live(s) and not s.is_newest]
        newest = [s for s in key.secrets if s.is_newest]
        retired = newest if not open_ or any(s.used for s in newest) else open_
        for secret in key.secrets:
            if secret not in retired or overlap == timedelta(0):
                secret.ended = True
            else:
                secret.end = min(self.now + (overlap or DEFAULT_OVERLAP), secret.own_end)
        return self._grant(key, issuer=by), False

    def change(self, by: Secret | None, key: Key, name: str, value: object) -> None:
        """Change `scopes`, `end` or `networks`."""
        _manages(by)
        _controls(by, key)
        _refuse("key_not_active", not self.is_active(key))
        if getattr(key, name) == value:
            return
        mine = {"scopes": frozenset[str](), "end": self.now, "networks": by and by.key.networks}
        _holds(by, **{**mine, name: value})  # type: ignore[arg-type]
        _refuse("parameter_invalid", name == "end" and key_end(value) <= self.now)
        setattr(key, name, value)
        self.events[key.organization] += 1

    def finish_rotation(self, by: Secret | None, key: Key) -> None:
        """End the retiring secret, if there is one."""
        _controls(by, key)
        _refuse("key_not_active", not self.is_active(key))
        for secret in key.secrets:
            if self.is_live(secret) and not secret.is_newest:
                secret.ended = True
                self.events[key.organization] += 1

    def revoke(self, by: Secret | None, key: Key) -> None:
        """Revoke a key; final and idempotent."""
        _reaches(by, key)
        if not key.revoked:
            key.revoked = True
            self.events[key.organization] += 1

    def cascade(self, by: Secret | None, root: Key) -> dict[str, int]:
        """Revoke a key and, transitively, what was made with it; return both counts."""
        _manages(by)
        _reaches(by, root)
        known = set(root.secrets)
        while (
            more := {s for s in self.secrets if s.issuer in known or s.key.maker in known} - known
        ):
            known |= more
        self.revoke(None, root)
        children = [key for key in self.keys if key.maker in known and not key.revoked]
        for child in children:
            self.revoke(None, child)
        ended = 0
        for key in filter(self.is_active, self.keys):
            lost = [s for s in key.secrets if s in known and self.is_live(s)]
            for secret in lost:
                secret.ended = True
            ended += len(lost)
            self.events[key.organization] += bool(lost)
        return {"keys_revoked": len(children), "secrets_ended": ended}

    def suspend(self, organization: str) -> None:
        """Suspend an organization; only staff can."""
        self.suspended.append(organization)
        self.events[organization] += 1

    def resume(self, organization: str) -> None:
        self.suspended.remove(organization)
        self.events[organization] += 1

    def use(self, by: Secret) -> None:
        """Answer who calls; any valid key may ask."""

    def look(self, by: Secret, key: Key) -> None:
        _reaches(by, key)

    def visible(self, by: Secret) -> list[Key]:
        """Return the keys that `by` sees in the list."""
        if by.key.scopes != EVERY_SCOPE:
            return [by.key]
        return [key for key in self.keys if key.home == by.key.home]

    def _grant(self, key: Key, *, issuer: Secret | None) -> Secret:
        secret = Secret(key, issuer)
        key.secrets.append(secret)
        self.events[key.organization] += 1
        return secret


def key_end(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value


def _refuse(code: str, condition: bool) -> None:
    if condition:
        raise Refused(code)


def _manages(by: Secret | None) -> None:
    _refuse("insufficient_scope", by is not None and by.key.scopes != EVERY_SCOPE)


def _reaches(by: Secret | None, key: Key) -> None:
    if by is not None and key is not by.key:
        _manages(by)
        _refuse("resource_not_found", key.home != by.key.home)


def _controls(by: Secret | None, key: Key) -> None:
    """Raise Refused if a limited caller would change or rotate another key."""
    _reaches(by, key)
    _refuse("exceeds_caller", by is not None and key is not by.key and by.is_limited)


def _holds(by: Secret | None, scopes: frozenset[str], end: datetime, networks: Networks) -> None:
    """Raise Refused if the caller would grant more than it holds."""
    if by is None:
        return
    too_much = (
        not scopes <= by.key.scopes
        or end > by.own_end
        or not PLACES[networks] <= PLACES[by.key.networks]
    )
    _refuse("exceeds_caller", too_much)
