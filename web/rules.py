"""Rules of every request, over `environ` (Django's META): the door and Django's side share them."""

import re
from typing import Any, Final

from django.conf import settings
from django.http import QueryDict

from web.context import current
from web.errors.refusals import OfCatalogue, RequestInvalid
from web.proxies import GATEWAY
from web.redaction import holds_key

API_PATH: Final = re.compile(r"/v1(/|\Z)")
KEY_PARAMETERS: Final = ("api_key", "key", "token", "access_token")
KEY_ID: Final = re.compile("key_[0-9A-Za-z]{12,34}")  # Public; `GET /v1/events?key=` takes one.


def is_api(path: str) -> bool:
    """Return True if the path is under /v1, where errors are JSON."""
    return API_PATH.match(path) is not None


def refuse_unreadable_header() -> None:
    """Raise RequestInvalid, naming the header, if a proxy header is malformed."""
    name = current().unreadable
    if name == GATEWAY:
        message = "ReachScore-Gateway is malformed, or its token is not the gateway's."
        fix = (
            "Send no such header: only a gateway of this service may. Operators: it must read "
            "“<token> for=<address> proto=<http or https>”, with a token of GATEWAY_TOKEN."
        )
        if settings.STAFF_GATEWAY_TOKENS:
            fix += (
                " Under /admin/, after a token of STAFF_GATEWAY_TOKEN and those two, it must end "
                "“user=<1 to 150 of A–Z a–z 0–9 . _ @ + -> mfa=<yes or no>”, with nothing encoded."
            )
        raise RequestInvalid(message, fix=fix, field=name)
    if name:
        message = f"{name}, which only proxies write, is empty or not plain ASCII."
        raise RequestInvalid(message, fix="Send no such header.", field=name)


def refuse_plain_http(environ: dict[str, Any]) -> None:
    """Raise `https_required` for plain HTTP. A redirect would hide that the key was exposed."""
    if settings.SECURE_SSL_REDIRECT and environ["wsgi.url_scheme"] != "https":
        raise OfCatalogue("https_required")


def refuse_key_in_url(path: str, query: str) -> None:
    """Raise `api_key_in_url` if path or query hold a key, valid or not, or a parameter for keys."""
    # RFC 6750 §2.3 discourages keys in URLs and OWASP ASVS 5.0 §14.2.1 forbids them.
    for name, values in QueryDict(query).lists() if query else ():
        if name.lower() in KEY_PARAMETERS and not all(map(KEY_ID.fullmatch, values)):
            raise OfCatalogue("api_key_in_url", field=name.lower())
    if url_holds_key(path, query):
        raise OfCatalogue("api_key_in_url")


def url_holds_key(path: str, query: str) -> bool:
    """Return True if the path or the query holds a key, valid or not."""
    if holds_key(path):
        return True
    parameters = QueryDict(query).lists() if query else ()
    return any(holds_key(text) for name, values in parameters for text in (name, *values))
