"""Tests of `/v1/organization`: what a thief of a key cannot disarm, and who is told of leaks."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import time_machine
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import Organization
from audit.actor import Actor
from audit.models import AuditEvent, AuditHead, OutboxRow
from notices import contacts
from notices.api import organization as view
from notices.contacts import change_by_key, change_contacts, contacts_of, verify
from notices.models import Contact, Delivery
from tests.support.cast import Answer, ApiClient, ApiTestCase

PATH = "/v1/organization"
NOW = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
OPS, NEW = "ops@acme.example", "new@acme.example"


def listed(*emails: str) -> dict[str, Any]:
    return {"contacts": [{"email": email} for email in emails]}


class OrganizationTestCase(ApiTestCase):
    def setUp(self) -> None:
        _, self.api = self.issue()
        change_contacts(self.acme, actor=Actor.staff(self.sam), contacts=[OPS])

    def contacts(self) -> dict[str, bool]:
        shown = self.api.get(PATH).json()["contacts"]
        return {contact["email"]: contact["verified"] for contact in shown}

    def add(self, *emails: str, client: ApiClient | None = None, known: str = OPS) -> Answer:
        answer = (client or self.api).change(PATH, listed(known, *emails))
        self.assertEqual(answer.status_code, 200, answer.content)
        return answer

    def path_to(self, page: str, email: str) -> str:
        contact = Contact.objects.filter(email=email).latest("pk")
        return contact.link_to(page).removeprefix("http://localhost:8000")

    def events(self) -> list[AuditEvent]:
        found = AuditEvent.objects.filter(action__regex="contacts_changed|leak_policy")
        return list(found.order_by("sequence"))[1:]

    def loosen(self) -> None:
        self.acme.change_leak_policy(actor=Actor.staff(self.sam), on_leak="notify", reason="asked")


class ShowAndChangeTests(OrganizationTestCase):
    def test_organization_shows_plan_contacts_and_policy_to_unrestricted_keys_only(self):
        shown = {
            "id": self.acme.pk,
            "object": "organization",
            "name": "Acme",
            "plan": "team",
            "contacts": [{"email": OPS, "verified": True}],
            "on_leak": "revoke",
        }
        for client in (self.api, self.issue(livemode=False)[1]):
            answer = client.get(PATH)
            self.assertEqual(answer.status_code, 200)
            self.assertEqual(list(answer.json().items()), list(shown.items()))
        self.assertRefused(self.restricted().get(PATH), 403, "insufficient_scope")
        self.assertRefused(Client().get(PATH), 401, "api_key_missing")

    def test_patch_adds_unverified_contacts_and_tightens_the_policy_in_one_event_each(self):
        self.loosen()
        answer = self.api.change(PATH, {**listed(OPS, NEW), "on_leak": "revoke"})
        self.assertEqual(answer.json(), self.api.get(PATH).json())
        self.assertEqual(answer.json()["on_leak"], "revoke")
        self.assertEqual(self.contacts(), {OPS: True, NEW: False})
        _, policy, contacts = self.events()
        self.assertEqual(policy.changes, {"on_leak": ["notify", "revoke"]})
        after = ["o…@acme.example", "n…@acme.example (not verified)"]
        self.assertEqual(contacts.changes, {"contacts": [after[:1], after]})
        self.assertEqual(contacts.actor_type, "key")

    def test_patch_of_what_was_read_changes_nothing_and_is_no_event(self):
        self.add(NEW)
        before, count = self.api.get(PATH).json(), AuditEvent.objects.count()
        for body in (
            {name: before[name] for name in ("contacts", "on_leak")},
            {"contacts": before["contacts"][::-1]},
            listed("OPS@ACME.EXAMPLE", f" {NEW} ", NEW),
            {"on_leak": "revoke"},
            {},
        ):
            answer = self.api.change(PATH, body)
            self.assertEqual((answer.status_code, answer.json()), (200, before), body)
        self.assertEqual(AuditEvent.objects.count(), count)
        self.assertEqual(Delivery.objects.count(), 1)

    def test_patch_spells_addresses_in_lower_case_and_ascii(self):
        self.add("Zoë.".replace("ë", "e") + "X+a@BÜCHER.example")
        self.assertIn("zoe.x+a@xn--bcher-kva.example", self.contacts())

    def test_malformed_values_are_refused_with_their_field_and_change_nothing(self):
        of_contacts: tuple[Any, ...] = (
            *(None, [], {}, "ops@acme.example", [OPS], [{}], [{"email": None}], [{"email": 5}]),
            *([{"email": OPS, "name": "x"}], [{"email": OPS, "verified": "yes"}]),
            *([{"email": email}] for email in (
                *("", " ", "ops", "@acme.example", "ops@", "ops@acme", "ops@localhost", "a@b@c.de"),
                *("ops@[192.0.2.7]", '"ops x"@acme.example', "ops@acme..example", "ops@-a.example"),
                *("ops@acme.example\r\nBcc: x@evil.example", "o\u202eps@a.de"),
                *("ops@acme.example,x@evil.example", "Ops <ops@acme.example>", "o\0@acme.example"),
                *("öps@acme.example", "\u017fam@acme.example"),
                *("a" * 250 + "@acme.example", f"{self.api.key}@acme.example"),
                *("x@" + "ü" * 200 + ".example", "x@\ud800.example", "ops@acme.example;"),
            )),
            [{"email": f"{n}@acme.example"} for n in range(11)],
            [{"email": OPS}] * 11,
        )  # fmt: skip
        bodies: list[tuple[str, Any]] = [("contacts", value) for value in of_contacts]
        policies: tuple[Any, ...] = (None, "", "Revoke", "never", 5, [], {}, True)
        bodies += [("on_leak", value) for value in policies]
        before = self.api.get(PATH).json()
        for field, value in bodies:
            with self.subTest(str(value)):
                answer = self.api.change(PATH, {field: value})
                code = answer.json()["error"]["code"]
                self.assertIn(code, ("parameter_invalid", "contains_api_key"))
                self.assertRefused(answer, 400, code, field=field)
                self.assertNotIn(self.api.key, answer.content.decode())
        self.assertRefused(
            self.api.change(PATH, {"name": "x"}), 400, "parameter_unknown", field="name"
        )
        both = self.api.change(PATH, {**listed("a", "b"), "on_leak": "never"})
        error = self.assertRefused(both, 400, "parameter_invalid", field="contacts")
        self.assertEqual([e["field"] for e in error["errors"]], ["contacts"] * 2 + ["on_leak"])
        self.assertEqual(self.api.get(PATH).json(), before)
        self.assertEqual((len(self.events()), Delivery.objects.count()), (0, 0))


class ThiefTests(OrganizationTestCase):
    """Each thief has another key of Acme's, and wants that nobody hears of it."""

    def test_no_stolen_key_can_loosen_the_policy_or_take_a_verified_contact_away(self):
        stolen_key, stolen = self.issue()
        fresh = self.rotate(self.api, stolen_key, overlap_seconds=3600)
        end = datetime.now(UTC) + timedelta(days=90)
        mine = listed("thief@evil.example")
        loosen, add = {"on_leak": "notify"}, listed(OPS, "thief@evil.example")
        everything: tuple[Any, ...] = (mine, loosen, add, {"on_leak": "revoke"}, {})
        attacks: list[tuple[str, ApiClient, tuple[Any, ...], str]] = [
            ("unrestricted live", fresh, (mine, loosen, {**add, **loosen}), "staff_only"),
            ("rotated out", stolen, everything, "exceeds_caller"),
            ("ends", self.issue(expires_at=end)[1], everything, "exceeds_caller"),
            (
                "addresses",
                self.issue(allowed_ips=["127.0.0.1/32"])[1],
                everything,
                "exceeds_caller",
            ),
            ("share", self.issue(max_tests_per_month=5)[1], everything, "exceeds_caller"),
            ("restricted", self.restricted(), everything, "insufficient_scope"),
            ("test", self.issue(livemode=False)[1], everything, "mode_not_allowed"),
        ]
        before = self.api.get(PATH).json()
        for name, client, bodies, code in attacks:
            for body in bodies:
                with self.subTest(name, body=body):
                    error = self.assertRefused(client.change(PATH, body), 403, code)
                    self.assertTrue("staff" in error["fix"] or code != "staff_only")
        self.assertEqual(self.api.get(PATH).json(), before)
        self.assertEqual((len(self.events()), Delivery.objects.count()), (0, 0))
        for method in ("delete", "post", "put"):
            answer = getattr(fresh, method)(PATH)
            self.assertRefused(answer, 405, "method_not_allowed")

    def test_added_address_of_a_thief_hears_nothing_and_owner_may_take_it_away(self):
        self.add("thief@evil.example")
        event = self.events()[-1]
        self.assertTrue(OutboxRow.objects.filter(pk=event.pk).exists())
        self.assertIsNone(Contact.objects.get(email="thief@evil.example").verified_at)
        link = self.path_to("verify-contact", "thief@evil.example")
        self.add()
        self.assertEqual(self.contacts(), {OPS: True})
        self.assertEqual(Client().post(link).status_code, 404)
        self.assertEqual(Delivery.objects.count(), 0, "a link that leads nowhere is not sent")

    def test_another_organization_sees_and_changes_nothing_of_this_one(self):
        _, theirs = self.issue(organization=self.globex)
        self.assertEqual(theirs.get(PATH).json()["contacts"], [])
        self.assertEqual(theirs.change(PATH, listed(OPS)).status_code, 200)
        self.assertEqual(self.contacts(), {OPS: True})
        self.assertFalse(AuditHead.objects.get(pk=self.globex.pk).has_destination)

    def test_authority_is_read_again_under_the_lock(self):
        api_key, client = self.issue()

        def narrow_first(*args: Any, **known: Any) -> None:
            type(api_key).objects.filter(pk=api_key.pk).update(scopes=["tests:read"])
            return original(*args, **known)

        original: Callable[..., None] = change_by_key
        with mock.patch.object(view, "change_by_key", narrow_first):
            self.assertRefused(client.change(PATH, listed(OPS, NEW)), 403, "insufficient_scope")
        self.assertEqual(self.contacts(), {OPS: True})


class WhoHearsTests(OrganizationTestCase):
    """A contact hears an event if it was verified and not removed when it was recorded."""

    def hears(self, email: str, event: AuditEvent) -> bool:
        at, contact = event.created_at, Contact.objects.filter(email=email).latest("pk")
        was_removed = contact.removed_at is not None and contact.removed_at <= at
        return contact.verified_at is not None and contact.verified_at <= at and not was_removed

    def test_addresses_from_before_hear_of_a_change_even_if_the_clock_stands_still(self):
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=1), tick=False):
            change_contacts(self.acme, actor=Actor.staff(self.sam), contacts=[NEW])
        (event,) = self.events()
        self.assertTrue(self.hears(OPS, event))
        self.assertFalse(self.hears(NEW, event))
        self.assertTrue(OutboxRow.objects.filter(pk=event.pk).exists())

    def test_last_contact_hears_of_its_removal_and_then_nothing_is_written(self):
        change_contacts(self.acme, actor=Actor.staff(self.sam), contacts=[])
        (event,) = self.events()
        self.assertTrue(self.hears(OPS, event))
        self.assertEqual(OutboxRow.objects.get().pk, event.pk)
        self.issue()
        self.assertEqual(OutboxRow.objects.count(), 1)

    def test_others_hear_of_a_verification_and_the_new_one_of_what_comes_after(self):
        self.add(NEW)
        Client().post(self.path_to("verify-contact", NEW))
        verified = self.events()[-1]
        self.assertEqual(verified.changes["contacts"][1], ["o…@acme.example", "n…@acme.example"])
        self.assertEqual(verified.actor_type, "stranger")
        self.assertEqual([self.hears(e, verified) for e in (OPS, NEW)], [True, False])
        self.loosen()
        self.assertEqual([self.hears(e, self.events()[-1]) for e in (OPS, NEW)], [True, True])

    def test_first_verified_contact_tightens_the_policy_which_a_thief_may_have_waited_for(self):
        self.loosen()
        change_contacts(self.acme, actor=Actor.staff(self.sam), contacts=[])
        self.api.change(PATH, listed("thief@evil.example"))
        Client().post(self.path_to("verify-contact", "thief@evil.example"))
        self.assertEqual(self.api.get(PATH).json()["on_leak"], "revoke")
        self.assertEqual([event.actor_type for event in self.events()][-2:], ["system", "stranger"])
        self.loosen()
        self.api.change(PATH, listed("thief@evil.example", NEW))
        Client().post(self.path_to("verify-contact", NEW))
        self.assertEqual(self.api.get(PATH).json()["on_leak"], "notify")

    def test_without_a_contact_verification_opens_the_outbox(self):
        _, theirs = self.issue(organization=self.globex)
        theirs.change(PATH, listed(NEW))
        head = AuditHead.objects.filter(pk=self.globex.pk)
        self.assertFalse(head.get().has_destination)
        self.assertTrue(verify(Contact.objects.get(email=NEW)))
        self.assertTrue(head.get().has_destination)


class LinkTests(OrganizationTestCase):
    def test_link_verifies_by_post_once_and_a_get_changes_nothing(self):
        self.add(NEW)
        link, browser = self.path_to("verify-contact", NEW), Client(enforce_csrf_checks=True)
        page = browser.get(link)
        self.assertContains(page, "Confirm this address?")
        self.assertContains(page, "Acme")
        self.assertNotIn("set-cookie", page.headers)
        self.assertIn("default-src 'self'", page["Content-Security-Policy"])
        self.assertNotContains(page, "<script")
        self.assertEqual(self.contacts()[NEW], False)
        for _ in range(2):
            self.assertContains(browser.post(link), "is confirmed")
        self.assertEqual(len(self.events()), 2)
        self.assertEqual(self.contacts()[NEW], True)
        change_contacts(self.acme, actor=Actor.staff(self.sam), contacts=[OPS])
        self.assertEqual(browser.post(link).status_code, 404)
        self.add(NEW)
        self.assertEqual(browser.post(link).status_code, 404, "the link was another contact's")
        self.assertEqual(self.contacts()[NEW], False)

    def test_forged_moved_or_other_links_verify_nothing(self):
        self.add(NEW)
        contact = Contact.objects.get(email=NEW)
        right = contact.link_to("verify-contact").rpartition("/")[2]
        of_other_page = contact.link_to("unsubscribe").rpartition("/")[2]
        tokens = (str(contact.pk), of_other_page, right[:-1], f"{right}x", f"1{right}", "x" * 5000)
        for token in (*tokens, f"{contact.pk}:", ":", "%00", right.replace(":", "%3A%20")):
            with self.subTest(token):
                answer = Client().post(f"/contacts/verify/{token}")
                self.assertEqual(answer.status_code, 404)
        with override_settings(SECRET_KEY="another" * 8):
            self.assertEqual(Client().post(f"/contacts/verify/{right}").status_code, 404)
        self.assertEqual(self.contacts()[NEW], False)

    def test_contact_whose_time_ends_while_it_is_verified_is_verified(self):
        def pass_time(*args: Any) -> list[str]:
            clock.shift(timedelta(seconds=1))
            return original(*args)

        original = contacts._masked
        with time_machine.travel(NOW, tick=False) as clock:
            self.add(NEW)
            clock.move_to(NOW + timedelta(days=7, milliseconds=-1))
            with mock.patch.object(contacts, "_masked", pass_time):
                self.assertTrue(verify(Contact.objects.get(email=NEW)))
            self.assertEqual([contact.email for contact in contacts_of(self.acme.pk)], [OPS, NEW])

    def test_link_and_unverified_contact_end_after_seven_days(self):
        with time_machine.travel(NOW, tick=False) as clock:
            self.add(NEW, known=OPS)
            link = self.path_to("verify-contact", NEW)
            clock.shift(timedelta(days=7))
            self.assertEqual(self.contacts(), {OPS: True})
            self.assertEqual(Client().post(link).status_code, 404)
            self.add(NEW)
            self.assertEqual(self.contacts()[NEW], False)
            self.assertEqual(Client().post(link).status_code, 404)
            self.assertContains(Client().post(self.path_to("verify-contact", NEW)), "is confirmed")

    def test_address_taken_away_and_added_again_gets_its_new_link_a_day_later(self):
        self.add(NEW)
        link = self.path_to("verify-contact", NEW)
        Delivery.objects.update(delivered_at=datetime.now(UTC))
        self.add()
        self.add(NEW)
        first, second = Delivery.objects.order_by("due_at")
        self.assertEqual(second.due_at - first.due_at, timedelta(days=1))
        self.assertEqual(Client().post(link).status_code, 404)
        self.assertContains(Client().post(self.path_to("verify-contact", NEW)), "is confirmed")

    def test_unsubscribing_stops_by_post_without_cookies_and_can_be_undone(self):
        link, browser = self.path_to("unsubscribe", OPS), Client(enforce_csrf_checks=True)
        contact = Contact.objects.filter(email=OPS)
        self.assertContains(browser.get(link), "Stop notices?")
        self.assertIsNone(contact.get().unsubscribed_at)
        answer = browser.post(link, {"List-Unsubscribe": "One-Click"})
        self.assertContains(answer, "Most notices are stopped")
        self.assertIsNotNone(contact.get().unsubscribed_at)
        self.assertEqual(self.contacts(), {OPS: True})
        self.assertTrue(AuditHead.objects.get(pk=self.acme.pk).has_destination)
        self.assertContains(browser.post(link, {"again": "1"}), "Stop notices?")
        self.assertIsNone(contact.get().unsubscribed_at)
        self.assertEqual(browser.post(f"{link}x").status_code, 404)

    def test_links_are_in_no_line_of_the_log(self):
        self.add(NEW)
        with self.assertLogs("reachscore", "INFO") as logs:
            for page in ("verify-contact", "unsubscribe"):
                link = self.path_to(page, NEW)
                Client().post(link)
                self.assertNotIn(link.rpartition("/")[2], "".join(logs.output))


class MailBombTests(OrganizationTestCase):
    def due(self, email: str) -> list[timedelta]:
        links = Delivery.objects.filter(contact__email=email).order_by("due_at")
        return [delivery.due_at - NOW for delivery in links]

    def run(self, result: Any = None) -> Any:
        with time_machine.travel(NOW, tick=False):
            return super().run(result)

    def test_address_gets_one_link_a_day_from_all_organizations_together(self):
        _, theirs = self.issue(organization=self.globex)
        self.add(NEW)
        theirs.change(PATH, listed(NEW))
        self.assertEqual(self.due(NEW), [timedelta(0), timedelta(days=1)])
        third = self.organization("Initech", "free")
        self.issue(organization=third)[1].change(PATH, listed(NEW))
        self.assertEqual(self.due(NEW)[2:], [timedelta(days=2)])

    def test_organization_sends_five_links_a_day_however_often_it_changes_the_list(self):
        for n in range(12):
            self.add(f"{n}@victim.example")
            # The deliverer is quick.
            Delivery.objects.filter(due_at__lte=NOW).update(delivered_at=NOW)
        sent = Delivery.objects.filter(due_at__lte=NOW).count()
        self.assertEqual(sent, 5)
        self.assertEqual(Delivery.objects.count(), 6, "links of addresses taken away are dropped")
        self.assertEqual(self.due("11@victim.example"), [timedelta(days=1)])

    def test_keys_change_the_list_twenty_times_a_day_so_that_no_thief_floods_the_contacts(self):
        for n in range(20):
            self.add(f"{n}@evil.example")
        for client in (self.api, self.issue()[1]):
            answer = client.change(PATH, listed(OPS))
            self.assertRefused(answer, 429, "rate_limit_exceeded")
            self.assertEqual(answer["Retry-After"], "3600")
        self.assertEqual(self.contacts(), {OPS: True, "19@evil.example": False})
        self.assertEqual(self.api.change(PATH, {"on_leak": "revoke"}).status_code, 200)
        change_contacts(self.acme, actor=Actor.staff(self.sam), contacts=[OPS])
        self.assertEqual(self.contacts(), {OPS: True})
        with time_machine.travel(timezone.now() + timedelta(days=1, minutes=1)):
            self.add(NEW)

    def test_at_most_five_addresses_wait_and_a_sixth_is_refused(self):
        self.add(*(f"{n}@acme.example" for n in range(5)))
        too_many = self.api.change(PATH, listed(OPS, *(f"{n}@acme.example" for n in range(6))))
        self.assertRefused(too_many, 403, "staff_only")
        self.assertEqual(Delivery.objects.count(), 5)

    def test_without_mail_no_address_can_be_added_but_the_policy_tightened(self):
        self.loosen()
        with override_settings(EMAIL_FROM=""):
            answer = self.api.change(PATH, {**listed(OPS, NEW), "on_leak": "revoke"})
            self.assertRefused(answer, 403, "staff_only")
            self.assertEqual(self.api.change(PATH, {"on_leak": "revoke"}).status_code, 200)
        self.assertEqual(Organization.objects.get(pk=self.acme.pk).on_leak, "revoke")
        self.assertEqual(contacts_of(self.acme.pk).count(), 1)
