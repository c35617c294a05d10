"""By the book: a DRF view and an authentication class that asks the ORM. No limit, no last use.

Slow: with the key hashed as passwords are, to show why ours are not.
"""

from hashlib import sha256

from django.contrib.auth.hashers import Argon2PasswordHasher
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from bench.peers import views
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


class Me(views.Me):
    authentication_classes = [BearerKeyAuthentication]


hasher = Argon2PasswordHasher()


class SlowAuthentication(BearerKeyAuthentication):
    """Checks the slow hash as well; Django's parameters, which follow OWASP's."""

    def authenticate(self, request: Request) -> tuple[BearerKey, None] | None:
        found = super().authenticate(request)
        if found is not None:
            _, _, plaintext = request.META["HTTP_AUTHORIZATION"].partition(" ")
            if not hasher.verify(plaintext, found[0].slow_hash):
                raise AuthenticationFailed
        return found


class SlowMe(views.Me):
    authentication_classes = [SlowAuthentication]
