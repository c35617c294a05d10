"""Readers of environment variables, each of one exact form.

For any other form they raise ImproperlyConfigured, which never shows the value: it may be a secret.
"""

import base64
import fcntl
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

LEAST_KEY_BYTES: Final = 32
SECRETS: Final = ("SECRET_KEY", "API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS")
PRODUCTION_ONLY: Final = (*SECRETS, "GATEWAY_TOKEN", "STAFF_GATEWAY_TOKEN")
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# White space, quotes and a byte order mark around a value; inside it, control characters and bytes
# that are not UTF-8.
_STRAY: Final = re.compile("^[\\s'\"‘’“”\ufeff]|[\\s'\"‘’“”\ufeff]$|[\x01-\x1f\x7f\ud800-\udfff]")
PORT: Final = "[1-9][0-9]{0,4}"
HOST: Final = r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-f:]+\])"  # To connect to.
_ORIGIN: Final = rf"https://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z]([a-z0-9-]*[a-z0-9])?(:{PORT})?"
# Hosts that Django can match; a leading dot means every subdomain.
_HOST: Final = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.IGNORECASE)
# Characters that need no quotes in the configuration of a proxy.
_GATEWAY_TOKEN: Final = "[A-Za-z0-9._~+/=-]{32,255}"  # noqa: S105 - a pattern


def refuse_stray_characters(environ: Mapping[str, str], *names: str) -> None:
    """Raise ImproperlyConfigured if a value has quotes, white space or line ends around it."""
    # Shells and systemd remove these; Docker and files written on Windows leave them in.
    stray = [name for name in names if _STRAY.search(environ.get(name, ""))]
    if stray:
        text = "Take the quotes, white space and line ends (CR, LF) off the value of "
        raise ImproperlyConfigured(f"{text}{', '.join(stray)}.")


def refuse_development_by_accident(environ: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured if production's environment has lost its DATABASE_URL."""
    # Without this check, commands would run on a new development database and report success.
    if not environ.get("DATABASE_URL", "unset").strip():
        raise ImproperlyConfigured("DATABASE_URL is blank. Set it, or unset it for development.")
    found = [name for name in PRODUCTION_ONLY if name in environ]
    if found and "DATABASE_URL" not in environ and environ.get("DEBUG") != "true":
        names = f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'}"
        text = f"DATABASE_URL is not set, but {names}, as in production."
        raise ImproperlyConfigured(f"{text} Set DATABASE_URL, or DEBUG=true for development.")


def require(environ: Mapping[str, str], *names: str) -> None:
    """Raise ImproperlyConfigured, naming all missing variables, if any of `names` is not set."""
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise ImproperlyConfigured(
            f"DATABASE_URL is set, so this is production, which also needs {', '.join(missing)}. "
            "README.md says what each holds. For development, set DEBUG=true."
        )


def match(environ: Mapping[str, str], name: str, pattern: str, must: str) -> re.Match[str] | None:
    """Match the variable `name` against `pattern`. Return None if it is not set."""
    if not (value := environ.get(name, "")):
        return None
    if (found := re.fullmatch(pattern, value)) is None:
        raise ImproperlyConfigured(f"{name} must {must}.")
    return found


def read_text(environ: Mapping[str, str], name: str, pattern: str, must: str) -> str:
    """Return the variable `name` if it matches `pattern`, "" if it is not set."""
    found = match(environ, name, pattern, must)
    return found[0] if found else ""


def host_names(environ: Mapping[str, str], name: str) -> list[str]:
    """Return host names, read from `api.example.com,127.0.0.1,[::1]`; `*` is refused."""
    hosts = [host.strip() for host in environ[name].split(",") if host.strip()]
    if not hosts or not all(_HOST.fullmatch(host) for host in hosts):
        raise ImproperlyConfigured(
            f"{name} must hold host names with commas between, such as "
            "api.example.com,127.0.0.1,[::1]: without scheme, port, path, quotes or *."
        )
    return hosts


def flag(environ: Mapping[str, str], name: str, *, default: bool, needs: str = "") -> bool:
    """Return True for `true`, False for `false`. Refuse the rest, and true without `needs`."""
    value = read_text(environ, name, "true|false", "be true or false")
    is_on = value == "true" if value else default
    if is_on and needs and not environ.get(needs):
        raise ImproperlyConfigured(f"{name}=true also needs {needs}.")
    return is_on


def count(environ: Mapping[str, str], name: str) -> int:
    """Return a number from 0 to 99, 0 if it is not set."""
    return int(read_text(environ, name, "[0-9]{1,2}", "be a number, 0 or more") or 0)


def public_url(environ: Mapping[str, str], name: str, *, production: bool) -> str:
    """Return this service's origin: passkeys are bound to its name, which no address has."""
    pattern = _ORIGIN if production else f"{_ORIGIN}|http://localhost(:{PORT})?"
    must = "read https://api.example.com: a name in lower case, perhaps a port, without path or "
    return read_text(environ, name, pattern, f"{must}trailing slash")


def contact(environ: Mapping[str, str], name: str) -> str:
    """Return a `mailto:` or `https:` address, "" if it is not set."""
    must = "read mailto:security@example.com or https://…"
    return read_text(environ, name, r"(mailto:[^\s@]+@|https://)[^\s@]+", must)


def token(environ: Mapping[str, str], name: str) -> str:
    """Return a bearer token that fits into a header, "" if it is not set."""
    must = "have at least 16 characters of printable ASCII, without spaces"
    return read_text(environ, name, "[!-~]{16,}", must)


def gateway_tokens(environ: Mapping[str, str], name: str) -> tuple[bytes, ...]:
    """Return one token, or two during a rotation (with a comma between), or none if not set."""
    must = "hold one token, or two with a comma between, each of 32 to 255 characters: letters, "
    pattern = f"{_GATEWAY_TOKEN}(,{_GATEWAY_TOKEN})?"
    tokens = read_text(environ, name, pattern, f"{must}digits and ._~+/=-")
    return tuple(tokens.encode().split(b",")) if tokens else ()


def staff_gateway_tokens(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the tokens of the proxy that names staff; none unless STAFF_SSO is true."""
    tokens = gateway_tokens(environ, "STAFF_GATEWAY_TOKEN")
    if not flag(environ, "STAFF_SSO", default=False, needs="STAFF_GATEWAY_TOKEN"):
        if not flag(environ, "STAFF_PASSWORD_LOGIN", default=True):
            raise ImproperlyConfigured("STAFF_PASSWORD_LOGIN=false also needs STAFF_SSO=true.")
        return ()
    return tokens


def egress_proxy(environ: Mapping[str, str], name: str) -> tuple[str, int] | None:
    """Return host and port of the proxy for requests to the Internet, None if it is not set."""
    must = "read http://proxy.example.com:3128: a name or an address, and a port, without a path"
    found = match(environ, name, f"http://{HOST}:({PORT})", must)
    if found is not None and int(found[2]) >= 2**16:
        raise ImproperlyConfigured(f"{name} must {must}.")
    return (found[1].strip("[]"), int(found[2])) if found else None


def numbered_keys(environ: Mapping[str, str], name: str) -> dict[int, bytes]:
    """Return keys by number, read from `2:<base64url>,1:<base64url>`; the first one signs."""
    keys: dict[int, bytes] = {}
    for entry in environ[name].split(","):
        number, _, text = entry.strip().partition(":")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
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
    """Return Django's database settings for a `postgres://` URL, as libpq itself reads the URL."""
    parts: dict[str, Any] = {}
    with suppress(psycopg.ProgrammingError):
        parts |= conninfo_to_dict(url)
    if (
        not re.match("postgres(ql)?://", url)
        or not ("dbname" in parts or "service" in parts)
        or not re.fullmatch("[0-9,]*", parts.get("port", ""))
        # Of a raw @ or / in the password, libpq would take what follows for the host, and show it.
        or url.count("@") > 1
        or ("@" in url.partition("?")[0] and "user" not in parts)
        or parts.get("sslmode", "prefer") not in SSL_MODES
    ):
        raise ImproperlyConfigured(
            "DATABASE_URL must read postgres://user:password@host:5432/name?sslmode=verify-full. "
            "In the password, write % as %25, @ as %40 and / as %2F."
        )
    found = {name.upper(): parts.pop(name, "") for name in ("user", "password", "host", "port")}
    name = parts.pop("dbname", "")
    return {"ENGINE": "web.database", "NAME": name, **found, "OPTIONS": parts}


def development_secrets(file: Path) -> dict[str, str]:
    """Return this machine's own secrets, which are made on first use and readable by the owner."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    with file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Another command may be the first at the same time.
        found: dict[str, str] = json.loads(held.read() or "{}")
        if missing := [name for name in SECRETS if name not in found]:
            found |= {name: f"1:{secrets.token_urlsafe(48)}" for name in missing}
            held.seek(0)
            json.dump(found, held)
    return found
