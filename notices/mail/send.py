"""Sending of notices by mail."""

from collections.abc import Sequence

from django.conf import settings
from django.core.mail import EmailMessage

from notices.models import Delivery


def send(deliveries: Sequence[Delivery]) -> str:
    """Send one mail with all these deliveries, which have one contact. Return the answer.

    Its Message-ID is made from the first delivery's id, so a repeat can be recognized.

    Raises OSError, of which SMTPException is one, if the mail server does not take it.
    """
    first = deliveries[0]
    host = settings.EMAIL_FROM.partition("@")[2]
    lines = [f"{each.type} {each.row.target_id if each.row else each.pk}" for each in deliveries]
    headers = {"Message-ID": f"<{first.pk}@{host}>"}
    subject = f"{first.organization.name}: {first.type}"
    mail = EmailMessage(subject, "\n".join(lines), to=[first.contact.email], headers=headers)
    mail.send()
    return "accepted"
