"""The pages behind the links in mails. They work without a log-in; a GET changes nothing.

They take no CSRF token, because a link is proof enough, and mail programs post without cookies.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notices.contacts import contacts_of, verify
from notices.models import Contact


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def verify_contact(request: HttpRequest, token: str) -> HttpResponse:
    """Verify an address once its owner presses the button."""
    contact = Contact.linked("verify-contact", token)
    if contact and request.method == "POST":
        verify(contact)
    alive = contact and contacts_of(contact.organization_id).filter(pk=contact.pk).first()
    return _page(request, "verify", alive)


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Stop what can be stopped, by the button or by the mail program itself (RFC 8058)."""
    contact = Contact.linked("unsubscribe", token)
    if contact and request.method == "POST":
        contact.unsubscribed_at = None if "again" in request.POST else timezone.now()
        contact.save(update_fields=["unsubscribed_at"])
    return _page(request, "unsubscribe", contact)


def _page(request: HttpRequest, page: str, contact: Contact | None) -> HttpResponse:
    status = 200 if contact else 404
    return render(request, f"notices/{page}.html", {"contact": contact}, status=status)
