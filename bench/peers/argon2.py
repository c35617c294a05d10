"""By the book, but with the key hashed as passwords are: to show why ours are not."""

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.urls import path
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from bench.peers.by_the_book import BearerKeyAuthentication, Me
from bench.peers.models import BearerKey

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


class SlowMe(Me):
    authentication_classes = [SlowAuthentication]


urlpatterns = [path("v1/auth/me", SlowMe.as_view())]
