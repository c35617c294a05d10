"""DRF's own authtoken, as documented: a token on a user; the organization is one query more."""

from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench.peers.answer import answer


class Me(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response(answer(request.user))


urlpatterns = [path("v1/auth/me", Me.as_view())]
