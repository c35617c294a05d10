"""django-rest-knox, with a limit and the last use."""

from django.contrib.auth.models import update_last_login
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from bench.peers.knox_tokens import Me
from bench.peers.limits import CustomerThrottle


class LimitedMe(Me):
    throttle_classes = [CustomerThrottle]

    def get(self, request: Request) -> Response:
        update_last_login(None, request.user)  # Django's own: one UPDATE.
        return super().get(request)


urlpatterns = [path("v1/auth/me", LimitedMe.as_view())]
