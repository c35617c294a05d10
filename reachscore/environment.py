"""Reading settings from the environment: exactly, and without ever showing a value."""

import base64
import binascii
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

LEAST_KEY_BYTES: Final = 32
LEAST_TOKEN_CHARACTERS: Final = 16


def flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a switch that is exactly `true` or `false`.

    Raises ImproperlyConfigured for anything else: `DEBUG=no` must not quietly mean yes.
    """
    value = environ.get(name, "")
    if value not in ("", "true", "false"):
        raise ImproperlyConfigured(f"{name} must be true or false.")
    return value == "true" if value else default


def count(environ: Mapping[str, str], name: str, *, default: int) -> int:
    """Return a number from 0 to 99. Raises ImproperlyConfigured for anything else."""
    value = environ.get(name, "")
    if not re.fullmatch(r"[0-9]{0,2}", value):
        raise ImproperlyConfigured(f"{name} must be a number, 0 or more.")
    return int(value) if value else default


def require(environ: Mapping[str, str], *names: str) -> None:
    """Raises ImproperlyConfigured that names every one of `names` that is not set."""
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise ImproperlyConfigured(
            f"DATABASE_URL is set, so this is production, which also needs {', '.join(missing)}. "
            "README.md says how to make them. For development, set DEBUG=true."
        )


def token(environ: Mapping[str, str], name: str) -> str:
    """Return a bearer token that a header can carry; empty where none is set.

    Raises ImproperlyConfigured, without showing it, for one that is short or holds anything else.
    """
    value = environ.get(name, "")
    if value and (len(value) < LEAST_TOKEN_CHARACTERS or not re.fullmatch(r"[!-~]+", value)):
        raise ImproperlyConfigured(
            f"{name} must have at least {LEAST_TOKEN_CHARACTERS} characters of printable ASCII, "
            "without spaces."
        )
    return value


def numbered_keys(environ: Mapping[str, str], name: str) -> dict[int, bytes]:
    """Read `2:<base64url>,1:<base64url>`: the first signs, all verify; numbers are names.

    Raises ImproperlyConfigured, without showing a value, for a bad form or a key under 32 bytes.
    """
    keys: dict[int, bytes] = {}
    for entry in environ[name].split(","):
        number, _, text = entry.strip().partition(":")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not number.isdecimal() or not 0 < int(number) < 2**15 or len(key) < LEAST_KEY_BYTES:
            raise ImproperlyConfigured(
                f"{name} must read 2:…,1:…, each a number and at least {LEAST_KEY_BYTES} random "
                "bytes in base64url; the first one signs."
            )
        if int(number) in keys:
            raise ImproperlyConfigured(f"{name} has the number {number} twice.")
        keys[int(number)] = key
    return keys


def database_from_url(url: str) -> dict[str, Any]:
    """Turn a `postgres://` URL into Django's settings, the way libpq itself reads it."""
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        raise ImproperlyConfigured("DATABASE_URL is not a postgres:// URL.") from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": parts,
    }


def development_secrets(file: Path) -> dict[str, str]:
    """Return secrets for this machine alone, made on first use and readable by its owner only."""
    if not file.exists():
        made = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "API_KEY_PEPPERS": f"1:{secrets.token_urlsafe(LEAST_KEY_BYTES)}",
            "AUDIT_KEYS": f"1:{secrets.token_urlsafe(LEAST_KEY_BYTES)}",
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as draft:  # Made with mode 0600.
            json.dump(made, draft)
            draft.flush()
            # Where another command was first, its secrets count.
            with suppress(FileExistsError):
                os.link(draft.name, file)
    found: dict[str, str] = json.loads(file.read_text())
    return found
