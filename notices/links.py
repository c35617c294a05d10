"""The links in mails. Each names a contact and what it may do, signed with SECRET_KEY."""

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from notices.kinds import VERIFICATION
from notices.models import Contact, Delivery

DAY: Final = timedelta(days=1)
MAILS_A_DAY: Final = 5  # Of one organization, with a link.


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


def queue_link(contact: Contact) -> None:
    """Queue the mail with the link, a day after the last one to this address if need be.

    A day has one such mail to an address, of all organizations, and MAILS_A_DAY of one
    organization. Later ones wait and are not refused: that would tell of other customers.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [contact.email])
    now = timezone.now()
    recent = Delivery.objects.filter(type=VERIFICATION, due_at__gt=now - DAY).order_by("-due_at")
    last = [
        *recent.filter(contact__email=contact.email)[:1],
        *recent.filter(organization=contact.organization_id)[MAILS_A_DAY - 1 : MAILS_A_DAY],
    ]
    Delivery.objects.create(
        organization_id=contact.organization_id,
        contact=contact,
        type=VERIFICATION,
        is_at_once=True,
        due_at=max([now, *(delivery.due_at + DAY for delivery in last)]),
    )
