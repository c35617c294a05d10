"""What ours does beside finding the caller, added to the peers in the usual way."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class CustomerThrottle(SimpleRateThrottle):
    """DRF's throttle, a minute's requests of each customer, in the cache that is Redis."""

    scope = "customer"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.customer_id}
