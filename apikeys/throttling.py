"""How often: the plan's requests a minute, counted where the caller was found."""

from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apikeys.authentication.caller import caller_of


class RateLimit(BaseThrottle):
    """Lets a request pass as long as its organization is within the minute's limit."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Raises RateLimitExceeded."""
        if request.user is not None:
            caller_of(request).require_rate(now=timezone.now())
        return True
