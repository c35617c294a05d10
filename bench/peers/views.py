"""What DRF's peers have in common: a view; limited: what ours does beside finding the caller."""

from typing import Any

from django.contrib.auth.models import update_last_login
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from bench.peers.answer import answer


class Me(APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response(answer(request.user))


class CustomerThrottle(SimpleRateThrottle):
    """DRF's throttle, a minute's requests of each customer, in the cache that is Redis."""

    scope = "customer"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.customer_id}


class LimitedMe(Me):
    throttle_classes = [CustomerThrottle]

    def get(self, request: Request) -> Response:
        update_last_login(None, request.user)  # Django's own: one UPDATE.
        return super().get(request)
