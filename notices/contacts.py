"""The verbs of contacts: who is told of leaks and ends. A thief of a key must not change that.

So a key adds addresses, which count once their owner has pressed a button in a mail, and tightens
the policy for leaks. All else is staff's.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.encoding import punycode

from accounts.models import OnLeak, Organization
from apikeys.refusals import ExceedsCaller
from apikeys.verbs.ceiling import WITHOUT_LIMITS, ActingKey
from audit.actor import Actor, ActorType
from audit.models import OF_MODE, AuditEvent, AuditHead, AuditLog
from notices.kinds import VERIFICATION
from notices.models import LINK_LASTS, Contact, Delivery
from web.errors.refusals import Faults, OfCatalogue, ParameterInvalid
from web.input.text import clean_line, clean_reason
from web.redaction import quote_input

MOST: Final = 10
LONGEST: Final = 254  # The longest path of SMTP without its brackets (RFC 5321, erratum 1690).
MOST_UNVERIFIED: Final = 5
DAY: Final = timedelta(days=1)
MAILS_A_DAY: Final = 5  # Of one organization, with a link.
CHANGES_A_DAY: Final = 20  # By keys: each is a mail to the other contacts, who cannot stop it.

_is_email: Final = EmailValidator(allowlist=())


def clean_email(email: str) -> str:
    """Return an address in lower case, its domain in ASCII. Raise what `clean_line` raises.

    Refuses quoted names and addresses of machines, such as `me@[192.0.2.7]`.
    """
    line = clean_line(email, field="contacts", max_length=LONGEST).lower()
    name, _, domain = line.rpartition("@")
    with suppress(ValidationError, UnicodeError):
        line = f"{name}@{punycode(domain)}"
        _is_email(line)
        # For re.IGNORECASE "ſ" is an S.
        if line.isascii() and len(line) <= LONGEST and not set('"[') & set(line):
            return line
    message = f"contacts holds {quote_input(email)}: it wants addresses such as ops@example.com."
    raise ParameterInvalid(message, field="contacts")


def clean_emails(emails: Iterable[str], *, least: int = 1) -> list[str]:
    """Return `least` to MOST addresses, each once. Raise ParameterInvalid for every fault."""
    given, faults, cleaned = list(emails), Faults(), dict[str, None]()
    if not least <= len(given) <= MOST:
        message = f"contacts must hold {least} to {MOST} addresses: the whole list."
        raise ParameterInvalid(message, field="contacts")
    for email in given:
        with faults.noted():
            cleaned[clean_email(email)] = None
    faults.refuse()
    return list(cleaned)


def contacts_of(organization_id: str) -> QuerySet[Contact]:
    """Return the contacts that are neither removed nor, unverified for too long, expired."""
    alive = ~Q(verified_at=None) | Q(created_at__gt=timezone.now() - LINK_LASTS)
    found = Contact.objects.filter(alive, organization_id=organization_id, removed_at=None)
    return found.order_by("id")


def list_of(organization_id: str) -> dict[str, bool]:
    """Return the addresses of `contacts_of`, each with whether it is verified."""
    rows = contacts_of(organization_id).values_list("email", "verified_at")
    return {email: verified_at is not None for email, verified_at in rows}


def change_by_key(
    organization: Organization,
    *,
    actor: Actor,
    contacts: Iterable[str] | None = None,
    on_leak: str | None = None,
) -> None:
    """Set what is given, as far as a key may. Addresses that it adds are sent a link.

    Raises:
        ManagingTakesAllScopes, ExceedsCaller.
        OfCatalogue: `mode_not_allowed`, `staff_only` or `rate_limit_exceeded`.
        ParameterInvalid: for contacts.
    """
    with AuditLog.of(organization.pk):
        if acting := ActingKey.of(actor):
            acting.require_managing()
            if not acting.api_key.livemode:
                message = "Contacts and the policy for leaks take a live key."
                raise OfCatalogue("mode_not_allowed", message)
            if acting.is_limited:
                message = "A key with limits of its own changes neither contacts nor the policy."
                raise ExceedsCaller(message, fix=WITHOUT_LIMITS)
        organization.refresh_from_db()
        if on_leak == OnLeak.NOTIFY != organization.on_leak:
            message = "on_leak can be tightened to revoke. Only our staff loosen it to notify."
            raise OfCatalogue("staff_only", message)
        # The policy first: its event must go to the contacts from before.
        if on_leak:
            organization.change_leak_policy(actor=actor, on_leak=on_leak)
        if contacts is not None:
            before = list_of(organization.pk)
            after = {email: before.get(email, False) for email in clean_emails(contacts)}
            if before != after:
                _refuse_for_key(organization.pk, before, after)
                _replace(organization, before, after, actor=actor)


def change_contacts(
    organization: Organization, *, actor: Actor, contacts: Iterable[str], reason: str = ""
) -> bool:
    """Make these addresses the whole list, for staff: verified. Return False if nothing changed.

    The list may be empty. Raises ParameterInvalid.
    """
    reason = clean_reason(reason, required=False)
    after = dict.fromkeys(clean_emails(contacts, least=0), True)
    with AuditLog.of(organization.pk):
        before = list_of(organization.pk)
        if before != after:
            _replace(organization, before, after, actor=actor, reason=reason)
    return before != after


def verify(contact: Contact) -> bool:
    """Verify a contact: the owner agreed. Return False if it was, or if its link has ended.

    The first one sets `on_leak` to REVOKE: NOTIFY counted as that, and a thief may be the first.
    """
    organization = contact.organization
    with AuditLog.of(organization.pk):
        if not contacts_of(organization.pk).filter(pk=contact.pk, verified_at=None).exists():
            return False
        before = list_of(organization.pk)
        if not any(before.values()):
            organization.change_leak_policy(actor=Actor.system(), on_leak=OnLeak.REVOKE)
        _replace(organization, before, before | {contact.email: True}, actor=Actor.stranger())
    return True


def _refuse_for_key(
    organization_id: str, before: Mapping[str, bool], after: Mapping[str, bool]
) -> None:
    """Raise OfCatalogue for a change that a key may not make, or not today."""
    if any(before[email] for email in before.keys() - after.keys()):
        message = "contacts leaves out a verified address. Only our staff remove one."
        raise OfCatalogue("staff_only", message)
    if after.keys() - before.keys() and not settings.EMAIL_FROM:
        message = "This service sends no mails, so that no address can be verified."
        raise OfCatalogue("staff_only", message)
    if list(after.values()).count(False) > MOST_UNVERIFIED:
        message = f"contacts holds more than {MOST_UNVERIFIED} addresses that are not verified."
        fix = "Leave some out until others are verified, or ask our staff to add them."
        raise OfCatalogue("staff_only", message, fix=fix)
    changes = AuditEvent.objects.filter(
        OF_MODE[True],  # For the index.
        organization_id=organization_id,
        action="organization.contacts_changed",
        actor_type=ActorType.KEY,
        created_at__gt=timezone.now() - DAY,
    )
    if changes.count() >= CHANGES_A_DAY:
        message = f"Keys change the contacts at most {CHANGES_A_DAY} times a day."
        raise OfCatalogue("rate_limit_exceeded", message, headers={"Retry-After": "3600"})


def _replace(
    organization: Organization, before: Mapping[str, bool], after: Mapping[str, bool], **by: Any
) -> None:
    """Make `after` the list, under the lock: each address with whether it is verified."""
    changes = {"contacts": (_masked(before), _masked(after))}
    with AuditLog.of(organization.pk) as audit:
        audit.record("organization.contacts_changed", organization, changes=changes, **by)
    # The event has the time at which it is recorded. What it changes holds from the next moment on,
    # so that the addresses from before are told of it.
    now = timezone.now() + timedelta(microseconds=1)
    present = Contact.objects.filter(organization=organization, removed_at=None)
    stay = before.keys() & after.keys()
    present.exclude(email__in=stay).update(removed_at=now)  # The expired ones, too.
    # Sorted: two organizations take the locks of addresses in one order.
    for email in sorted(after.keys() - before.keys()):
        contact = Contact.objects.create(organization=organization, email=email)
        if not after[email]:
            _queue_link(contact)
    verified = [email for email, is_verified in after.items() if is_verified]
    present.filter(email__in=verified, verified_at=None).update(verified_at=now)
    AuditHead.objects.filter(pk=organization.pk).update(has_destination=bool(verified))
    # Links that lead nowhere are not sent, and do not put off others.
    links = Delivery.objects.filter(organization=organization, type=VERIFICATION, tries=0)
    links = links.filter(taken_until=None, delivered_at=None, failed_at=None)
    links.exclude(contact__verified_at=None, contact__removed_at=None).delete()


def _queue_link(contact: Contact) -> None:
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


def _masked(contacts: Mapping[str, bool]) -> list[str]:
    """Return the first character and the domain of each address: an event can never be erased."""
    return [
        re.sub("(?<=.).*@", "…@", email) + ("" if is_verified else " (not verified)")
        for email, is_verified in contacts.items()
    ]
