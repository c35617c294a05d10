"""django-ninja with its HttpBearer. No response schema: pydantic would look at the body again."""

from hashlib import sha256
from typing import Any

from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI
from ninja.security import HttpBearer

from bench.peers.answer import answer
from bench.peers.models import BearerKey


class BearerKeys(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> BearerKey | None:
        digest = sha256(token.encode()).digest()
        try:
            return BearerKey.objects.select_related("customer").get(digest=digest, revoked=False)
        except BearerKey.DoesNotExist:
            return None


api = NinjaAPI(auth=BearerKeys(), docs_url=None, openapi_url=None)


@api.get("/v1/auth/me")
def me(request: Any) -> dict[str, Any]:
    return answer(request.auth)


urlpatterns = [path("", api.urls)]
