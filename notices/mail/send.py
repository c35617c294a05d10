"""Sending of notices by mail."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.conf import settings
from django.core import mail
from django.template.loader import render_to_string

from apikeys.api.querysets import presentable
from apikeys.models import ApiKey
from audit.models import AuditEvent
from notices.kinds import UNSTOPPABLE, VERIFICATION
from notices.links import link_to
from notices.mail.words import Notice, notice_of, shown
from notices.models import Delivery
from web.redaction import printable

MOST_SHOWN: Final = 100
LONGEST_NAME: Final = 60  # In a subject.


def send(deliveries: Sequence[Delivery]) -> str:
    """Send one mail with all these deliveries, which have one contact. Return the answer.

    Its Message-ID is made from the first delivery's id, so a repeat can be recognized.

    Raises OSError, of which SMTPException is one, if the mail server does not take it.
    """
    message, answers = compose(deliveries), list[Any]()
    connection = mail.get_connection()
    connection.open()
    try:
        if smtp := getattr(connection, "connection", None):
            # Django keeps no answer of the server's; it has the name of the mail in its queue.
            smtp.data = _kept(smtp.data, answers)
        connection.send_messages([message])
    finally:
        connection.close()
    return f"{answers[0][0]} {answers[0][1].decode(errors='replace')}" if answers else "written"


def _kept(call: Callable[..., Any], answers: list[Any]) -> Callable[..., Any]:
    def calls(*args: Any) -> Any:
        answers.append(call(*args))
        return answers[-1]

    return calls


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
    if first.type == VERIFICATION:
        subject = f"Confirm this address for notices about API keys: {name}"
        link = link_to("verify-contact", contact)
        said = "The organization below wants this address to be told if one of its API keys for "
        said += "ReachScore leaks or ends. Open the link within seven days and press the button. "
        said += "If you do not know why, do nothing: nothing else will be sent."
        notices = [Notice("Confirm this address for notices about API keys", link=link)]
        notices[0].advice = said
    elif first.is_at_once:
        key = keys.get(first.row.target_id) if first.row else None
        subject = f"{notices[0].title}: {shown(key.name, LONGEST_NAME) if key else name}"
    headers = {
        "Message-ID": f"<{first.pk}@{settings.EMAIL_FROM.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: no answer from machines.
        "ReachScore-Notice": first.type if first.is_at_once else "weekly",
    }
    stop = ""
    if first.type not in (*UNSTOPPABLE, VERIFICATION):
        stop = link_to("unsubscribe", contact)
        headers |= {"List-Unsubscribe": f"<{stop}>"}
        headers |= {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}  # RFC 8058
    context = {
        "subject": subject,
        "notices": notices,
        "more": len(deliveries) - len(notices),
        "organization": f"{name} ({first.organization_id})",
        "is_contact": first.type != VERIFICATION,
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
