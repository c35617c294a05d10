"""django-ninja with its HttpBearer. No response schema: pydantic would look at the body again.

Limited: with its own throttle on Redis, and the last use.
"""

from hashlib import sha256
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import NinjaAPI
from ninja.security import HttpBearer
from ninja.throttling import SimpleRateThrottle

from bench.peers.answer import answer
from bench.peers.models import BearerKey


class BearerKeys(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> BearerKey | None:
        digest = sha256(token.encode()).digest()
        try:
            return BearerKey.objects.select_related("customer").get(digest=digest, revoked=False)
        except BearerKey.DoesNotExist:
            return None


class CustomerThrottle(SimpleRateThrottle):
    """A minute's requests of each customer, as DRF's throttle counts them for the others."""

    scope = "customer"

    def get_cache_key(self, request: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.auth.customer_id}


closed: dict[str, Any] = {"auth": BearerKeys(), "docs_url": None, "openapi_url": None}
api = NinjaAPI(**closed)
limited_api = NinjaAPI(**closed, throttle=CustomerThrottle("100000000/m"), urls_namespace="limited")


@api.get("/v1/auth/me")
def me(request: Any) -> dict[str, Any]:
    return answer(request.auth)


@limited_api.get("/v1/auth/me")
def limited_me(request: Any) -> dict[str, Any]:
    BearerKey.objects.filter(pk=request.auth.pk).update(last_used_at=timezone.now())
    return answer(request.auth)
