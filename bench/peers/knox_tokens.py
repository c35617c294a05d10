"""django-rest-knox, as documented."""

from django.urls import path
from knox.auth import TokenAuthentication
from rest_framework.permissions import IsAuthenticated

from bench.peers import authtoken


class Me(authtoken.Me):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]


urlpatterns = [path("v1/auth/me", Me.as_view())]
