"""The links in mails. Each names a contact and what it may do, signed with SECRET_KEY."""

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.urls import reverse

from notices.models import Contact


def link_to(page: str, contact: Contact) -> str:
    """Return the address of `verify-contact` or `unsubscribe` for a contact."""
    return f"{settings.PUBLIC_URL}{reverse(page, args=[Signer(salt=page).sign(str(contact.pk))])}"


def linked(page: str, token: str) -> Contact | None:
    """Return the contact of a link's token, None unless we signed it for this page."""
    try:
        contact_id = Signer(salt=page).unsign(token)
    except BadSignature:
        return None
    return Contact.objects.select_related("organization").filter(pk=contact_id).first()
