"""DRF's own authtoken, with the organization in the same query."""

from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed

from bench.peers.authtoken import Me
from bench.peers.models import Account


class JoiningAuthentication(TokenAuthentication):
    def authenticate_credentials(self, key: str) -> tuple[Account, Token]:
        try:
            token = Token.objects.select_related("user__customer").get(key=key)
        except Token.DoesNotExist:
            raise AuthenticationFailed from None
        if not token.user.is_active:
            raise AuthenticationFailed
        return token.user, token


class JoinedMe(Me):
    authentication_classes = [JoiningAuthentication]


urlpatterns = [path("v1/auth/me", JoinedMe.as_view())]
