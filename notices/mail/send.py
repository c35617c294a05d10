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
    name = shown(first.organization.name, LONGEST_NAME)
    rows = [delivery.row for delivery in deliveries if delivery.row]
    found = ApiKey.objects.filter(pk__in=[row.target_id for row in rows])
    keys = {key.pk: key for key in presentable(found)}
    events = AuditEvent.objects.in_bulk([row.pk for row in rows])
    notices = [
        notice_of(row, events.get(row.pk), keys.get(row.target_id)) for row in rows[:MOST_SHOWN]
    ]
    link = stop = ""
    if first.type == VERIFICATION:
        subject = f"Confirm this address for notices about API keys: {name}"
        link = first.contact.link_to("verify-contact")
    elif first.is_at_once:
        key = keys.get(rows[0].target_id)
        subject = f"{notices[0]['title']}: {shown(key.name, LONGEST_NAME) if key else name}"
    else:
        subject = f"{len(deliveries)} notices about API keys: {name}"
    headers = {
        "Message-ID": f"<{first.pk}@{settings.EMAIL_FROM.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: no answer from machines.
        "ReachScore-Notice": first.type if first.is_at_once else "weekly",
    }
    if first.type not in (*UNSTOPPABLE, VERIFICATION):
        stop = first.contact.link_to("unsubscribe")
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
        [first.contact.email],
        headers=headers,
    )
    message.attach_alternative(render_to_string("mail/notices.html", context), "text/html")
    return message
