"""DRF's own authtoken, as documented: a token on a user; the organization is one query more.

Joined: with the organization in the same query. Limited: joined, with a limit and the last use.
"""

from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed

from bench.peers import views
from bench.peers.models import Account


class Me(views.Me):
    authentication_classes = [TokenAuthentication]


class JoiningAuthentication(TokenAuthentication):
    def authenticate_credentials(self, key: str) -> tuple[Account, Token]:
        try:
            token = Token.objects.select_related("user__customer").get(key=key)
        except Token.DoesNotExist:
            raise AuthenticationFailed from None
        if not token.user.is_active:
            raise AuthenticationFailed
        return token.user, token


class JoinedMe(views.Me):
    authentication_classes = [JoiningAuthentication]


class LimitedMe(views.LimitedMe):
    authentication_classes = [JoiningAuthentication]
