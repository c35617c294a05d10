"""What is compared: who answers, and whose keys are sent."""

from dataclasses import dataclass
from typing import Final

OURS: Final = "ours"
UNKNOWN: Final = "ours, unknown key"
MALFORMED: Final = "ours, malformed key"
FLOOR: Final = "floor: bare WSGI, one SELECT"
BY_THE_BOOK: Final = "by-the-book DRF"


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    peer: str  # The module of bench.peers that answers; "" where ours does.
    keys: str  # Which Authorization headers are sent.
    does: str
    is_refused: bool = False
    needs_redis: bool = False
    is_main: bool = False  # Measured unpinned, too.

    @property
    def is_counted(self) -> bool:
        """Whether keys of ours are used by it."""
        return not self.peer and not self.is_refused


LIMITS: Final = "the same, and a limit in Redis and the last use in PostgreSQL a request"

VARIANTS: Final = (
    Variant(OURS, "", "bearer", "everything on, as in production", is_main=True),
    Variant(UNKNOWN, "", "unknown", "a well-formed key that was never issued", is_refused=True),
    Variant(MALFORMED, "", "malformed", "a key with a typo", is_refused=True),
    Variant(FLOOR, "floor", "bearer", "no framework; a prepared statement", is_main=True),
    Variant(
        "floor: bare Django view",
        "bare_django",
        "bearer",
        "no middleware, DRF or ORM; a prepared statement",
        is_main=True,
    ),
    Variant(
        BY_THE_BOOK,
        "by_the_book",
        "bearer",
        "ORM, one join; no limit, no last use",
        is_main=True,
    ),
    Variant(
        "djangorestframework-api-key", "drf_api_key", "drf_api_key", "as documented", is_main=True
    ),
    Variant("django-rest-knox", "knox_tokens", "knox", "as documented", is_main=True),
    Variant("authtoken", "authtoken", "authtoken", "as documented"),
    Variant(
        "authtoken, joined",
        "authtoken_joined",
        "authtoken",
        "the organization in the same query",
        is_main=True,
    ),
    Variant("django-ninja", "ninja_bearer", "bearer", "HttpBearer, ORM, one join", is_main=True),
    Variant(
        "djangorestframework-api-key + limits",
        "drf_api_key_limited",
        "drf_api_key",
        LIMITS,
        needs_redis=True,
    ),
    Variant("django-rest-knox + limits", "knox_limited", "knox", LIMITS, needs_redis=True),
    Variant(
        "authtoken, joined + limits", "authtoken_limited", "authtoken", LIMITS, needs_redis=True
    ),
    Variant(
        "django-ninja + limits", "ninja_limited", "bearer", LIMITS, needs_redis=True, is_main=True
    ),
)
