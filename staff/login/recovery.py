"""The page that shows recovery codes, once."""

from typing import cast

from django.http import HttpRequest, HttpResponse

from staff.login.proof import page
from staff.models import RecoveryCode, User


def newest_code(user: User) -> int:
    """Return what a form sends along that makes recovery codes: other ones make it stale."""
    codes = RecoveryCode.objects.filter(user=user).order_by("-pk").values_list("pk", flat=True)
    return codes.first() or 0


def is_sent_again(request: HttpRequest) -> bool:
    """Return True if new recovery codes were made since this form was shown, as for a reload."""
    sent = request.POST.get("newest")
    return sent is not None and sent != str(newest_code(cast(User, request.user)))


def show_codes(request: HttpRequest, codes: list[str] | None, *, back: str) -> HttpResponse:
    """Return the page that shows recovery codes once; None: they were shown before."""
    title = "Your recovery codes"
    return page(request, "recovery_codes", title=title, codes=codes, back=back)
