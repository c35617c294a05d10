"""Tests of mails: what they say, what a stranger's text cannot do in them, and a real server."""

import json
import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

from aiosmtpd.controller import Controller
from django.conf import settings
from django.core import mail
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.verbs.change import change
from apikeys.verbs.leak import Place, act_on_leak
from apikeys.verbs.revoke import revoke
from audit.actor import Actor, ActorType
from audit.models import OutboxRow
from notices.contacts import change_contacts
from notices.deliver import mails
from notices.mail.send import compose, send
from notices.models import Contact, Delivery
from tests.support.cast import ApiTestCase
from tests.support.demo_server import free_port
from tests.support.notices import add_contact
from web.input.moments import format_moment

OURS = settings.PUBLIC_URL
NOWHERE = Place()
HOSTILE = (
    "<b>Bold</b><img src=x onerror=alert(1)>",
    '"><script src=//evil.example></script>',
    "http://evil.example/login",
    "Log in at www.evil.example. or evil。example, me@evil.example",
    "{{ url }} {% now %} &lt;b&gt;",
    "'; rm -rf / #$(reboot)`reboot`",
    "A" * 100,
)


class Links(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


class MailTestCase(ApiTestCase):
    ATTRIBUTES = ("lang", "charset", "name", "content", "href", "align", "valign", "style")

    def setUp(self) -> None:
        self.ops = add_contact(self.acme)
        self.api_key, self.client_of_key = self.issue(name="CI pipeline")

    def sent(self, *types: str) -> EmailMessage:
        """Compose the mail of the newest rows of these types, as it travels, and parse it."""
        rows = [OutboxRow.objects.filter(type=type_).latest("created_at") for type_ in types]
        deliveries = [self.delivery(row, is_at_once=len(rows) == 1) for row in rows]
        return self.parsed(compose(deliveries).message().as_bytes())

    def delivery(self, row: OutboxRow, **columns: Any) -> Delivery:
        columns = {"type": row.type, "is_at_once": True, **columns}
        return Delivery(
            organization=self.acme, contact=self.ops, row=row, due_at=row.created_at, **columns
        )

    def note(self, type_: str, **data: Any) -> None:
        noun = type_.partition(".")[0].replace("usage", "organization")
        target = self.api_key.pk if noun == "api_key" else self.acme.pk
        OutboxRow.objects.create(
            organization_id=self.acme.pk, type=type_, target_type=noun, target_id=target, data=data
        )

    def parsed(self, sent: bytes) -> EmailMessage:
        message = message_from_bytes(sent, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.assertEqual([message.defects, message["To"]], [[], self.ops.email])
        self.assertEqual(message["From"], f"ReachScore API keys <{settings.EMAIL_FROM}>")
        self.assertEqual(message["Auto-Submitted"], "auto-generated")
        self.assertEqual(message.get_content_type(), "multipart/alternative")
        self.assertRegex(message["Message-ID"], rf"^<dlv_\w+@{settings.EMAIL_FROM.split('@')[1]}>$")
        self.assertIsNotNone(message["Date"])
        self.assertEqual({"Bcc", "Cc", "Reply-To"} & set(message.keys()), set())
        page = Links(self.html(message))
        known = {"html", "head", "meta", "title", "body", "h2", "table", "tr", "th", "td", "hr"}
        self.assertLessEqual(page.tags, known | {"p", "pre", "code", "a"})
        for name, value in page.attributes:
            self.assertIn(name, self.ATTRIBUTES)
            self.assertTrue(name != "href" or (value or "").startswith(f"{OURS}/"), value)
        return message

    @staticmethod
    def text(message: EmailMessage) -> str:
        body: Any = message.get_body(("plain",))
        return str(body.get_content())

    @staticmethod
    def html(message: EmailMessage) -> str:
        body: Any = message.get_body(("html",))
        return str(body.get_content())

    def leak(self, place: Place = NOWHERE, policy: str = "revoke") -> None:
        Organization.objects.filter(pk=self.acme.pk).update(on_leak=policy)
        secret = self.api_key.secrets.latest("pk")
        act_on_leak(
            self.acme.pk, {secret.pk: place}, actor=Actor.scanner("github"), source="github"
        )


class WordsTests(MailTestCase):
    def assertSaid(self, message: EmailMessage, *said: str) -> None:
        for text in said:
            self.assertIn(text, self.text(message))
            escaped = text.replace("'", "&#x27;").replace('"', "&quot;")
            self.assertIn(escaped, self.html(message))

    def curl(self, path: str, method: str) -> str:
        auth = '-H "Authorization: Bearer $REACHSCORE_KEY"'
        return f"curl -X {method} '{OURS}{path}' \\\n  {auth}"

    def test_mail_of_a_leak_says_what_was_done_where_and_what_to_do_and_cannot_be_stopped(self):
        self.make(self.client_of_key, name="child")
        self.leak(Place("https://github.com/acme/x/blob/main/.env", "commit"))
        message = self.sent("api_key.leaked")
        self.assertEqual(message["Subject"], "An API key has leaked: CI pipeline")
        self.assertEqual(message["List-Unsubscribe"], None)
        path = f"/v1/keys/{self.api_key.pk}"
        self.assertSaid(
            message,
            f"CI pipeline (…{self.client_of_key.key[-4:]}, {self.api_key.pk})",
            "live",
            "The key was revoked",
            "https[:]//github[.]com/acme/x/blob/main/[.]env",
            "github",
            self.curl("/v1/keys", "POST"),
            "an unrestricted live key",
            "if you have none, ask our support",
            self.curl(f"{path}?cascade=true", "DELETE"),
            "cannot be stopped",
        )
        self.assertNotIn(self.client_of_key.key, message.as_string())

    def test_command_in_place_of_a_revoked_key_gives_its_rights_and_no_others(self):
        limits: dict[str, Any] = {
            "allowed_ips": ["192.0.2.7", "2001:db8::/48"],
            "expires_at": format_moment(timezone.now() + timedelta(days=30)),
            "max_tests_per_month": 5,
        }
        self.api_key, _ = self.make(self.client_of_key, scopes=["tests:read"], **limits)
        self.leak()
        _, _, body = self.text(self.sent("api_key.leaked")).partition("-d '")
        rights = {"name": f"In place of {self.api_key.pk}", "scopes": ["tests:read"], **limits}
        self.assertEqual(json.loads(body.partition("'")[0]), rights)

    def test_mail_of_a_leak_under_notify_has_the_command_that_rotates_this_key_at_once(self):
        self.leak(policy="notify")
        command = self.curl(f"/v1/keys/{self.api_key.pk}/rotate", "POST")
        body = """-d '{"overlap_seconds": 0}'"""
        self.assertSaid(self.sent("api_key.leaked"), "Nothing was done", command, body)

    def test_mail_names_staff_as_our_staff_and_a_key_with_its_address(self):
        revoke(self.api_key, actor=Actor.staff(self.sam), reason="Fraud by Olga")
        message = self.sent("api_key.revoked")
        self.assertSaid(message, "our staff", "Every request with it is refused.")
        for hidden in ("sam", "Fraud"):
            self.assertNotIn(hidden, self.text(message) + self.html(message))
        _, manager = self.issue(name="Manager")
        other, _ = self.issue()
        manager.change(f"/v1/keys/{other.pk}", {"name": "renamed"})
        rotate = self.curl(f"/v1/keys/{other.pk}/rotate", "POST")
        changed = self.sent("api_key.changed")
        self.assertSaid(changed, "Manager (key_", "127.0.0.1", "CI → renamed", rotate)

    def test_every_type_has_a_mail_with_its_title_and_the_unstoppable_have_no_way_to_stop(self):
        change_contacts(self.acme, actor=Actor.cli(), contacts=["ops@acme.example", "b@acme.de"])
        self.acme.change_leak_policy(actor=Actor.cli(), on_leak="notify")
        for days in (1, 30):
            self.note("api_key.expiring", days=days)
            self.assertSaid(
                self.sent("api_key.expiring"), f"within {'a day' if days == 1 else '30 days'}"
            )
        for type_, data, title in (
            ("api_key.expired", {}, "An API key has expired"),
            ("api_key.unused", {}, "An API key was not used for 90 days"),
            ("usage.quota_80", {"meter": "tests", "used": 800, "limit": 1000}, "80 %"),
            ("usage.quota_100", {"meter": "tests", "used": 9, "limit": 9}, "tests are used up"),
            ("api_key.issued", None, "API key issued"),
            ("organization.contacts_changed", None, "The contacts for notices were changed"),
            ("organization.leak_policy_changed", None, "The policy for leaked keys was changed"),
        ):  # fmt: skip
            with self.subTest(type_):
                if data is not None:
                    self.note(type_, **data)
                message = self.sent(type_)
                self.assertIn(title, message["Subject"])
                self.assertSaid(message, title.replace("'", "&#x27;"))
                stops = not type_.startswith("organization.")
                self.assertEqual(message["List-Unsubscribe"] is not None, stops)
        self.assertSaid(self.sent("organization.contacts_changed"), "b…@acme[.]de")

    def test_weekly_mail_has_all_its_notices_and_says_how_many_more_there_are(self):
        change(self.api_key, actor=Actor.cli(), name="renamed")
        message = self.sent("api_key.issued", "api_key.changed")
        self.assertEqual(message["Subject"], "2 notices about API keys: Acme")
        self.assertSaid(message, "API key issued", "API key changed")
        row = OutboxRow.objects.get(type="api_key.changed")
        many = [self.delivery(row, is_at_once=False) for _ in range(105)]
        self.assertIn("And 5 more", self.text(self.parsed(compose(many).message().as_bytes())))

    def test_one_click_of_a_mail_program_unsubscribes(self):
        message = self.sent("api_key.issued")
        self.assertEqual(message["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click")
        found = re.fullmatch(
            rf"<{OURS}(/contacts/unsubscribe/\S+)>", message["List-Unsubscribe"].strip()
        )
        assert found is not None
        sent = {"List-Unsubscribe": "One-Click"}
        self.assertEqual(Client(enforce_csrf_checks=True).post(found[1], sent).status_code, 200)
        self.assertIsNotNone(Contact.objects.get(pk=self.ops.pk).unsubscribed_at)
        self.assertIn(found[1], self.text(message))


class HostileTextTests(MailTestCase):
    def assertHarmless(self, message: EmailMessage) -> None:
        """`sent` has checked tags, attributes and headers; here is what programs make links of."""
        self.assertLess(len(message["Subject"]), 250)
        for body in (self.text(message), self.html(message)):
            text = body.replace(OURS, "")
            self.assertNotRegex(text, r"://|\bevil[.。]|www\.")
            self.assertNotIn("rk_live_" + self.client_of_key.key[8:], text)

    def test_hostile_texts_are_text_in_every_place_of_a_mail(self):
        for hostile in HOSTILE:
            with self.subTest(hostile):
                name = hostile[:100]
                Organization.objects.filter(pk=self.acme.pk).update(name=name)
                ApiKey.objects.filter(pk=self.api_key.pk).update(name=name)
                self.acme.refresh_from_db()
                secret = self.api_key.secrets.latest("pk")
                thief = Actor(ActorType.KEY, self.api_key.pk, name, secret.locator)
                self.client_of_key.patch(
                    f"/v1/keys/{self.api_key.pk}",
                    {"name": f"renamed {name}"[:100]},
                    content_type="application/json",
                    headers={"User-Agent": hostile},
                )
                change(self.api_key, actor=thief, reason=hostile, name=f"x {name}"[:100])
                for message in (
                    self.sent("api_key.changed"),
                    self.sent("api_key.changed", "api_key.issued"),
                ):
                    self.assertHarmless(message)
                if "<b>" in hostile:
                    self.assertIn("&lt;b&gt;Bold", self.html(message))
                    self.assertIn("<b>Bold", self.text(message))

    def test_old_names_with_line_ends_and_reading_directions_add_no_header(self):
        for name in ("x\r\nBcc: evil@evil.example", "x\nTo: y", "\u202eevil", "\x01\x1b[31m", ""):
            with self.subTest(name):
                Organization.objects.filter(pk=self.acme.pk).update(name=name)
                self.acme.refresh_from_db()
                ApiKey.objects.filter(pk=self.api_key.pk).update(name=name)
                for types in (["api_key.issued"], ["api_key.issued"] * 2):
                    message = self.sent(*types)
                    self.assertNotRegex(message["Subject"], r"[\x00-\x1f\u202e]")

    def test_place_of_a_leak_is_shown_and_never_a_link(self):
        for url in (
            'https://evil.example/"><b>',
            "https://evil.example/?a=<script>",
            "https://e.de",
        ):
            with self.subTest(url):
                self.api_key, self.client_of_key = self.issue()
                self.leak(Place(url, "commit"))
                message = self.sent("api_key.leaked")
                self.assertIn(url.replace("://", "[:]//").replace(".", "[.]"), self.text(message))
                self.assertHarmless(message)


class VerificationTests(MailTestCase):
    def test_link_of_the_mail_leads_to_the_button_that_verifies(self):
        _, api = self.issue()
        contacts = [{"email": email} for email in (self.ops.email, "new@acme.example")]
        api.change("/v1/organization", {"contacts": contacts})
        while mails.deliver_next():
            pass
        kinds = {sent.extra_headers["ReachScore-Notice"]: sent for sent in mail.outbox}
        self.assertEqual(set(kinds), {"organization.contacts_changed", "contact.verification"})
        sent = kinds["contact.verification"]
        self.ops = Contact.objects.get(email="new@acme.example")
        message = self.parsed(sent.message().as_bytes())
        self.assertEqual(
            message["Subject"], "Confirm this address for notices about API keys: Acme"
        )
        self.assertIsNone(message["List-Unsubscribe"])
        found = re.search(rf"^{OURS}(/contacts/verify/\S+)$", self.text(message), re.MULTILINE)
        assert found is not None
        self.assertNotIn("more:", self.text(message))
        self.assertContains(Client().get(found[1]), "new@acme.example")
        self.assertContains(Client().post(found[1]), "is confirmed")
        self.ops.refresh_from_db()
        self.assertIsNotNone(self.ops.verified_at)


class Refuses:
    """Answers to the mail's content as told, and keeps what it took."""

    def __init__(self, answer: str) -> None:
        self.answer, self.taken = answer, list[bytes]()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(envelope.content)
        return self.answer


@contextmanager
def smtp_server(answer: str) -> Iterator[Refuses]:
    """Run a server on a free port of loopback, with Django's mail sent to it."""
    handler, port = Refuses(answer), free_port()
    server = Controller(handler, "127.0.0.1", port, ready_timeout=60)
    server.start()
    try:
        with override_settings(
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=port,
            EMAIL_TIMEOUT=60,
        ):
            yield handler
    finally:
        server.stop()


class RealServerTests(MailTestCase):
    def deliver(self) -> Delivery:
        revoke(self.api_key, actor=Actor.staff(self.sam), reason="asked")
        row = OutboxRow.objects.get(type="api_key.revoked")
        return self.delivery(row)

    def test_real_server_takes_the_mail_and_its_answer_is_returned(self):
        with smtp_server("250 2.0.0 Ok: queued as 4BxYZ") as server:
            self.assertEqual(send([self.deliver()]), "250 2.0.0 Ok: queued as 4BxYZ")
        (taken,) = server.taken
        message = self.parsed(taken)
        self.assertEqual(message["Subject"], "API key revoked: CI pipeline")
        self.assertIn("our staff", self.text(message))
        self.assertLess(max(map(len, taken.splitlines())), 998)

    def test_refusals_of_a_real_server_are_raised_with_its_answer(self):
        delivery = self.deliver()
        for answer in ("451 4.3.0 try later", "554 5.7.1 spam"):
            with smtp_server(answer), self.assertRaises(smtplib.SMTPException) as raised:
                send([delivery])
            self.assertIn(answer[4:], str(raised.exception))
        with override_settings(
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend", EMAIL_PORT=1
        ):
            self.assertRaises(OSError, send, [delivery])
