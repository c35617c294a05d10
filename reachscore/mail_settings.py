"""The settings of mail, read from EMAIL_URL and EMAIL_FROM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

from reachscore.environment import HOST, PORT, match, read_text

_USER: Final = r"((?P<user>[^:@/?\s]+):(?P<password>[^:@/?\s]+)@)?"
_MAIL_URL: Final = rf"(?P<scheme>smtps?)://{_USER}(?P<host>{HOST})(:(?P<port>{PORT}))?"
_ADDRESS: Final = "[A-Za-z0-9.+_-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"


def mail(environ: Mapping[str, str], *, production: bool, folder: Path) -> dict[str, Any]:
    """Return Django's mail settings, from `EMAIL_URL=smtp://user:password@host:587` and EMAIL_FROM.

    A connection with a user is encrypted: by STARTTLS with smtp://, from the first byte with
    smtps://. Without a URL, development writes mails into `folder`, and production sends none.
    """
    must = (
        "read smtp://user:password@mail.example.com:587, or smtps://…:465. "
        "In the password, write % as %25, : as %3A, @ as %40 and / as %2F"
    )
    backend = "django.core.mail.backends.{}.EmailBackend".format
    url = match(environ, "EMAIL_URL", _MAIL_URL, must)
    sender = read_text(environ, "EMAIL_FROM", _ADDRESS, "be an address, such as keys@example.com")
    if bool(url) != bool(sender):
        raise ImproperlyConfigured("Set both EMAIL_URL and EMAIL_FROM, or neither.")
    if url is None:
        return {
            "EMAIL_BACKEND": backend("dummy" if production else "filebased"),
            "EMAIL_FILE_PATH": str(folder),
            "EMAIL_FROM": "" if production else "keys@localhost",
        }
    is_smtps = url["scheme"] == "smtps"
    return {
        "EMAIL_BACKEND": backend("smtp"),
        "EMAIL_HOST": url["host"].strip("[]"),
        "EMAIL_PORT": int(url["port"] or (465 if is_smtps else 587)),
        "EMAIL_HOST_USER": unquote(url["user"] or ""),
        "EMAIL_HOST_PASSWORD": unquote(url["password"] or ""),
        "EMAIL_USE_TLS": bool(url["user"]) and not is_smtps,
        "EMAIL_USE_SSL": is_smtps,
        "EMAIL_TIMEOUT": 5,  # For each answer of the server: a mail must end within its lease.
        "EMAIL_FROM": sender,
    }
