"""By the book: a DRF view and an authentication class that asks the ORM. No limit, no last use."""

from hashlib import sha256

from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench.peers.answer import answer
from bench.peers.models import BearerKey


class BearerKeyAuthentication(BaseAuthentication):
    """Finds the key by its digest, with the customer in the same query."""

    def authenticate(self, request: Request) -> tuple[BearerKey, None] | None:
        scheme, _, plaintext = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Bearer":
            return None
        digest = sha256(plaintext.encode()).digest()
        try:
            key = BearerKey.objects.select_related("customer").get(digest=digest, revoked=False)
        except BearerKey.DoesNotExist:
            raise AuthenticationFailed from None
        return key, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class Me(APIView):
    authentication_classes = [BearerKeyAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response(answer(request.user))


urlpatterns = [path("v1/auth/me", Me.as_view())]
