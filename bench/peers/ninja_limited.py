"""django-ninja with its HttpBearer, its own throttle on Redis, and the last use."""

from typing import Any

from django.urls import path
from django.utils import timezone
from ninja import NinjaAPI
from ninja.throttling import SimpleRateThrottle

from bench.peers.answer import answer
from bench.peers.models import BearerKey
from bench.peers.ninja_bearer import BearerKeys


class CustomerThrottle(SimpleRateThrottle):
    """A minute's requests of each customer, as DRF's throttle counts them for the others."""

    scope = "customer"

    def get_cache_key(self, request: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.auth.customer_id}


api = NinjaAPI(
    auth=BearerKeys(),
    throttle=CustomerThrottle("100000000/m"),
    docs_url=None,
    openapi_url=None,
)


@api.get("/v1/auth/me")
def me(request: Any) -> dict[str, Any]:
    BearerKey.objects.filter(pk=request.auth.pk).update(last_used_at=timezone.now())
    return answer(request.auth)


urlpatterns = [path("", api.urls)]
