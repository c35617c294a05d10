"""Stand-in until the branches meet: asks for no password."""

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpRequest, HttpResponseRedirect

View = TypeVar("View", bound=Callable[..., object])


def require_recent_password(view: View) -> View:
    return view


def password_needed(request: HttpRequest, back: str | None = None) -> HttpResponseRedirect | None:
    return None
