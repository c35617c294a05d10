"""Reading settings from the environment: exactly, and without ever showing a value."""

import base64
import binascii
import fcntl
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

LEAST_KEY_BYTES: Final = 32
LEAST_TOKEN_CHARACTERS: Final = 16
SECRETS: Final = ("SECRET_KEY", "API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS")
PRODUCTION_ONLY: Final = (*SECRETS, "GATEWAY_TOKEN", "STAFF_GATEWAY_TOKEN")
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
MOST_GATEWAY_TOKENS: Final = 2
_GATEWAY_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{32,255}")

# White space, quotes and a byte order mark around a value; inside it, control characters and bytes
# that are not UTF-8.
_STRAY: Final = re.compile("^[\\s'\"‘’“”\ufeff]|[\\s'\"‘’“”\ufeff]$|[\x01-\x1f\x7f\ud800-\udfff]")
_ORIGIN: Final = re.compile(
    r"https://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*"
    r"[a-z]([a-z0-9-]*[a-z0-9])?(:[1-9][0-9]{0,4})?"
)
_MAIL_URL: Final = re.compile(
    r"(?P<scheme>smtps?)://((?P<user>[^:@/?\s]+):(?P<password>[^:@/?\s]+)@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-f:]+\])(:(?P<port>[1-9][0-9]{0,4}))?"
    r"\?from=(?P<sender>[A-Za-z0-9.+_-]+@[A-Za-z0-9.-]+)"
)
# What Django can match: a dot in front stands for every subdomain.
_HOST: Final = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.IGNORECASE)


def refuse_stray_characters(environ: Mapping[str, str], *names: str) -> None:
    """Raise ImproperlyConfigured if values have quotes, white space or line ends left around them.

    Shells and systemd take these off; Docker and files written on Windows leave them in.
    """
    stray = [name for name in names if _STRAY.search(environ.get(name, ""))]
    if stray:
        raise ImproperlyConfigured(
            f"Take the quotes, white space and line ends (CR, LF) off the value of "
            f"{', '.join(stray)}."
        )


def refuse_development_by_accident(environ: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured if production's environment has lost its DATABASE_URL.

    Without this check, commands would run on a new development database and report success.
    """
    if not environ.get("DATABASE_URL", "unset").strip():
        raise ImproperlyConfigured("DATABASE_URL is blank. Set it, or unset it for development.")
    found = [name for name in PRODUCTION_ONLY if name in environ]
    if found and "DATABASE_URL" not in environ and environ.get("DEBUG") != "true":
        raise ImproperlyConfigured(
            f"DATABASE_URL is not set, but {' and '.join(found)} "
            f"{'is' if len(found) == 1 else 'are'}, as in production. Set DATABASE_URL, or "
            "DEBUG=true for development."
        )


def host_names(environ: Mapping[str, str], name: str) -> list[str]:
    """Read `api.example.com,127.0.0.1,[::1]`.

    Raises ImproperlyConfigured for anything that no request's Host header can match, and for `*`.
    """
    hosts = [host.strip() for host in environ[name].split(",") if host.strip()]
    if not hosts or not all(_HOST.fullmatch(host) for host in hosts):
        raise ImproperlyConfigured(
            f"{name} must hold host names with commas between, such as "
            "api.example.com,127.0.0.1,[::1]: without scheme, port, path, quotes or *."
        )
    return hosts


def flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a switch that is exactly `true` or `false`.

    Raises ImproperlyConfigured for anything else: `DEBUG=no` must not quietly mean yes.
    """
    value = environ.get(name, "")
    if value not in ("", "true", "false"):
        raise ImproperlyConfigured(f"{name} must be true or false.")
    return value == "true" if value else default


def public_url(environ: Mapping[str, str], name: str, *, production: bool) -> str:
    """Return the origin under which browsers reach this service: scheme, host, perhaps a port.

    Raises ImproperlyConfigured for anything else, an address in place of the host's name included:
    passkeys are bound to the name.
    """
    value = environ[name]
    is_local = not production and re.fullmatch("http://localhost(:[1-9][0-9]{0,4})?", value)
    if not is_local and not _ORIGIN.fullmatch(value):
        raise ImproperlyConfigured(
            f"{name} must read https://api.example.com: a name in lower case, perhaps a port, "
            "without path or trailing slash."
        )
    return value


def contact(environ: Mapping[str, str], name: str) -> str:
    """Return a `mailto:` or `https:` address, empty if it is not set.

    Raises ImproperlyConfigured for anything else.
    """
    value = environ.get(name, "")
    if value and not re.fullmatch(r"(mailto:[^\s@]+@|https://)[^\s@]+", value):
        raise ImproperlyConfigured(f"{name} must read mailto:security@example.com or https://….")
    return value


def mail_from_url(environ: Mapping[str, str], name: str, *, production: bool) -> dict[str, Any]:
    """Return Django's settings for mail from `smtp://user:password@host:587?from=keys@example.com`.

    With a user the connection is encrypted; smtps:// is so from its first byte. Without a URL
    development prints mails, and production sends none. Raises ImproperlyConfigured, without
    showing it, for any other form.
    """
    backend = "django.core.mail.backends.{}.EmailBackend".format
    if not environ.get(name):
        return {"EMAIL_BACKEND": backend("dummy" if production else "console")}
    found = _MAIL_URL.fullmatch(environ[name])
    if found is None:
        raise ImproperlyConfigured(
            f"{name} must read smtp://user:password@mail.example.com:587?from=keys@example.com, or "
            "smtps://…:465. In the password, write % as %25, : as %3A, @ as %40 and / as %2F."
        )
    is_smtps = found["scheme"] == "smtps"
    return {
        "EMAIL_BACKEND": backend("smtp"),
        "EMAIL_HOST": found["host"].strip("[]"),
        "EMAIL_PORT": int(found["port"] or (465 if is_smtps else 587)),
        "EMAIL_HOST_USER": unquote(found["user"] or ""),
        "EMAIL_HOST_PASSWORD": unquote(found["password"] or ""),
        "EMAIL_USE_TLS": bool(found["user"]) and not is_smtps,
        "EMAIL_USE_SSL": is_smtps,
        "EMAIL_TIMEOUT": 5,  # A page waits for it.
        "DEFAULT_FROM_EMAIL": found["sender"],
    }


def count(environ: Mapping[str, str], name: str, *, default: int) -> int:
    """Return a number from 0 to 99. Raises ImproperlyConfigured for anything else."""
    value = environ.get(name, "")
    if not re.fullmatch(r"[0-9]{0,2}", value):
        raise ImproperlyConfigured(f"{name} must be a number, 0 or more.")
    return int(value) if value else default


def require(environ: Mapping[str, str], *names: str) -> None:
    """Raise ImproperlyConfigured that names every one of `names` that is not set."""
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise ImproperlyConfigured(
            f"DATABASE_URL is set, so this is production, which also needs {', '.join(missing)}. "
            "README.md says what each holds. For development, set DEBUG=true."
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


def gateway_tokens(environ: Mapping[str, str], name: str) -> tuple[bytes, ...]:
    """Read one token, or two with a comma between while it is changed; none if not set.

    Raises ImproperlyConfigured, without showing a value, for any other form. The characters are
    those that need no quotes in the configuration of a proxy.
    """
    value = environ.get(name, "")
    tokens = value.split(",") if value else []
    if len(tokens) > MOST_GATEWAY_TOKENS or not all(map(_GATEWAY_TOKEN.fullmatch, tokens)):
        raise ImproperlyConfigured(
            f"{name} must hold one token, or two with a comma between, each of 32 to 255 "
            "characters: letters, digits and ._~+/=-"
        )
    return tuple(token.encode() for token in tokens)


def staff_gateway_tokens(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the tokens of the proxy that names staff; none unless STAFF_SSO is true.

    Raises ImproperlyConfigured if there is none then, or if nobody could log in.
    """
    tokens = gateway_tokens(environ, "STAFF_GATEWAY_TOKEN")
    if not flag(environ, "STAFF_SSO", default=False):
        if not flag(environ, "STAFF_PASSWORD_LOGIN", default=True):
            raise ImproperlyConfigured("STAFF_PASSWORD_LOGIN=false also needs STAFF_SSO=true.")
        return ()
    if not tokens:
        raise ImproperlyConfigured("STAFF_SSO=true also needs STAFF_GATEWAY_TOKEN.")
    return tokens


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
    """Turn a `postgres://` URL into Django's settings, the way libpq itself reads it.

    Raises ImproperlyConfigured, without showing it, for a URL that libpq cannot read or reads
    wrong: what follows a raw `@` or `/` in the password it takes for the host, and shows in errors.
    """
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        parts = {}
    if (
        not re.match("postgres(ql)?://", url)
        or not ("dbname" in parts or "service" in parts)
        or not re.fullmatch("[0-9,]*", parts.get("port", ""))
        or url.count("@") > 1
        or ("@" in url.partition("?")[0] and "user" not in parts)
        or parts.get("sslmode", "prefer") not in SSL_MODES
    ):
        raise ImproperlyConfigured(
            "DATABASE_URL must read postgres://user:password@host:5432/name?sslmode=verify-full. "
            "In the password, write % as %25, @ as %40 and / as %2F."
        )
    return {
        "ENGINE": "web.database",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": parts,
    }


def development_secrets(file: Path) -> dict[str, str]:
    """Return secrets for this machine alone, made on first use and readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    with file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Another command may be the first at the same time.
        found: dict[str, str] = json.loads(held.read() or "{}")
        missing = {name: f"1:{secrets.token_urlsafe(48)}" for name in SECRETS if name not in found}
        if missing:
            found |= missing
            held.seek(0)
            json.dump(found, held)
    return found
