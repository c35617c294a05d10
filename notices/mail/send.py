"""Sending of notices by mail."""

from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.core import mail
from django.template.loader import render_to_string

from apikeys.api.querysets import presentable
from apikeys.models import ApiKey
from audit.models import AuditEvent
from notices.kinds import UNSTOPPABLE, VERIFICATION
from notices.links import link_to
from notices.mail.words import notice_of, shown
from notices.models import Delivery
from web.redaction import printable

MOST_SHOWN: Final = 100
LONGEST_NAME: Final = 60  # In a subject.


def send(deliveries: Sequence[Delivery]) -> str:
    """Send one mail with all these deliveries, which have one contact. Return the answer.

    Its Message-ID is made from the first delivery's id, so a repeat can be recognized.

    Raises OSError, of which SMTPException is one, if the mail server does not take it.
    """
    message = compose(deliveries)
    answers: list[tuple[int, bytes]] = []
    with mail.get_connection() as connection:
        if smtp := getattr(connection, "connection", None):
            send_data = smtp.data

            def keep_answer(text: bytes) -> tuple[int, bytes]:
                answers.append(send_data(text))
                return answers[-1]

            # Django keeps no answer of the server's; it has the name of the mail in its queue.
            smtp.data = keep_answer
        connection.send_messages([message])
    return f"{answers[0][0]} {answers[0][1].decode(errors='replace')}" if answers else "written"


def compose(deliveries: Sequence[Delivery]) -> mail.EmailMultiAlternatives:
    """Return the mail of these deliveries, in text and HTML."""
    first = deliveries[0]
    contact, name = first.contact, shown(first.organization.name, LONGEST_NAME)
    ids = [delivery.row.target_id for delivery in deliveries if delivery.row]
    keys = {key.pk: key for key in presentable(ApiKey.objects.filter(pk__in=ids))}
    events = AuditEvent.objects.in_bulk([each.row_id for each in deliveries if each.row_id])
    notices = [
        notice_of(each.row, events.get(each.row.pk), keys.get(each.row.target_id))
        for each in deliveries[:MOST_SHOWN]
        if each.row
    ]
    subject = f"{len(deliveries)} notices about API keys: {name}"
    link = stop = ""
    if first.type == VERIFICATION:
        subject = f"Confirm this address for notices about API keys: {name}"
        link = link_to("verify-contact", contact)
    elif first.is_at_once:
        key = keys.get(first.row.target_id) if first.row else None
        subject = f"{notices[0].title}: {shown(key.name, LONGEST_NAME) if key else name}"
    headers = {
        "Message-ID": f"<{first.pk}@{settings.EMAIL_FROM.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: no answer from machines.
        "ReachScore-Notice": first.type if first.is_at_once else "weekly",
    }
    if first.type not in (*UNSTOPPABLE, VERIFICATION):
        stop = link_to("unsubscribe", contact)
        headers["List-Unsubscribe"] = f"<{stop}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    context = {
        "subject": subject,
        "notices": notices,
        "more": len(deliveries) - MOST_SHOWN,
        "organization": f"{name} ({first.organization_id})",
        "link": link,
        "stop": stop,
        "url": settings.PUBLIC_URL,
    }
    message = mail.EmailMultiAlternatives(
        printable(subject),
        render_to_string("mail/notices.txt", context),
        f"ReachScore API keys <{settings.EMAIL_FROM}>",
        [contact.email],
        headers=headers,
    )
    message.attach_alternative(render_to_string("mail/notices.html", context), "text/html")
    return message
