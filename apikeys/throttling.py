"""Throttling (429): the plan's requests a minute, counted by `authentication.statement`."""

from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apikeys.authentication.caller import caller_of


class RateLimit(BaseThrottle):
    """Fixed window: the organization's requests in this minute, against its plan's limit."""

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.user is not None:
            caller_of(request).require_rate(now=timezone.now())
        return True
