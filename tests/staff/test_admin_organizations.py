"""Tests of organizations in the admin: their page, verbs and lists."""

from datetime import date, timedelta
from typing import Any

from django.contrib.messages.storage.cookie import CookieStorage
from django.db import transaction
from django.utils import timezone

from accounts.models import Meter, Organization, Usage
from accounts.models.usage import ALWAYS
from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent, AuditHead, OutboxRow
from notices.contacts import contacts_of
from notices.models import Delivery
from tests.staff.test_admin import KEYS, ORGANIZATIONS, AdminTestCase, page_of
from tests.support.cast import Answer
from tests.support.staff import filled_in


class OrganizationTestCase(AdminTestCase):
    def use(self, n: int, *, meter: Meter = Meter.TESTS, start: date | None = None) -> None:
        month = timezone.now().date().replace(day=1)
        Usage.objects.create(
            organization=self.acme, livemode=True, meter=meter, period_start=start or month, used=n
        )

    def send(self, verb: str, **fields: Any) -> Answer:
        """Open a verb's page and send its form, filled in."""
        url = page_of(ORGANIZATIONS, self.acme.id, verb)
        form = filled_in(self.browser, url, **{"reason": "agreed by phone", **fields})
        return self.browser.post(url, form, follow=True)

    def listed(self, **query: str) -> set[str]:
        rows = self.browser.get(ORGANIZATIONS, query).context["cl"].result_list
        return {organization.name for organization in rows}


class PageTests(OrganizationTestCase):
    def test_organization_page_shows_terms_usage_keys_and_events(self):
        self.issue(name="Nightly")
        self.use(900)
        Organization.objects.filter(pk=self.acme.pk).update(domains_limit=25)
        page = self.browser.get(page_of(ORGANIZATIONS, self.acme.id)).content.decode()
        for said in (
            self.acme.id,
            "<bdi>Nightly</bdi></a>",
            "1 active live key, 0 active test keys of 100",
            "agreed, not the plan's",
            "organization.created",
        ):
            self.assertIn(said, page)

    def test_organization_page_names_the_key_of_an_event_if_keys_may_be_viewed(self):
        api_key, _ = self.issue(name="Nightly")
        named = f'<a href="{page_of(KEYS, api_key.pk)}"><bdi>Nightly</bdi></a> '
        for rights, count in ((("view_apikey", "view_plan"), 1), ((), 0)):
            browser = self.colleague("view_organization", "view_auditevent", *rights)
            page = browser.get(page_of(ORGANIZATIONS, self.acme.id)).content.decode()
            events = page.split('<ol class="timeline">')[1]
            self.assertEqual(events.count(f'{named}<span class="quiet">{api_key.pk}'), count)

    def test_organization_page_and_list_say_how_full_a_limit_is(self):
        self.use(1)
        for used, limit, percent, colour, said in (
            (799, 1000, 79, "active", ""),
            (800, 1000, 80, "expiring", "nearly used up"),
            (999, 1000, 99, "expiring", "nearly used up"),
            (1000, 1000, 100, "revoked", "used up"),
            (2, 1, 200, "revoked", "over the limit"),
        ):
            with self.subTest(used=used, limit=limit):
                Usage.objects.update(used=used)
                Organization.objects.filter(pk=self.acme.pk).update(tests_limit=limit)
                badge = f'<span class="badge badge-{colour}">{said}</span>' if said else ""
                page = self.browser.get(page_of(ORGANIZATIONS, self.acme.id)).content.decode()
                bar = page.split('aria-label="live tests">')[1].split("</tr>")[0]
                self.assertEqual(f"{percent} %</meter> {percent} % {badge}</td>", bar.strip())
                listed = self.browser.get(ORGANIZATIONS, {"attention": "near"}).content.decode()
                self.assertEqual(f"tests {used:,} of {limit:,} {badge}" in listed, bool(said))

    def test_organization_page_hides_keys_and_events_without_their_permissions(self):
        self.issue(name="Nightly")
        browser = self.colleague("view_organization")
        page = browser.get(page_of(ORGANIZATIONS, self.acme.id)).content.decode()
        self.assertNotIn("Nightly", page)
        self.assertNotIn("organization.created", page)
        self.assertNotIn("/suspend/", page)

    def test_organization_add_form_asks_for_name_plan_and_reason_only(self):
        form = self.browser.get(f"{ORGANIZATIONS}add/").context["adminform"].form
        self.assertEqual(list(form.fields), ["name", "plan", "reason"])
        answer = self.browser.post(
            f"{ORGANIZATIONS}add/",
            {
                "name": "Initech",
                "plan": "free",
                "reason": "signed",
                "_continue": "1",
                "contacts": "x@example.com",
            },
        )
        made = Organization.objects.get(name="Initech")
        self.assertEqual(answer["Location"], page_of(ORGANIZATIONS, made.id))
        self.assertEqual(made.contacts.count(), 0)
        self.assertEqual(AuditEvent.objects.get(organization_id=made.id).reason, "signed")


class PlanTests(OrganizationTestCase):
    def test_plan_page_changes_plan_and_limits_with_a_reason(self):
        self.send("plan", plan="business", tests_limit="9000")
        self.acme.refresh_from_db()
        self.assertEqual((self.acme.plan_id, self.acme.tests_limit), ("business", 9000))
        event = AuditEvent.objects.get(action="organization.plan_changed")
        self.assertEqual(event.reason, "agreed by phone")
        self.assertEqual(event.changes["plan"], ["team", "business"])

    def test_plan_page_says_what_each_kind_of_plan_counts_as_used(self):
        self.use(900)
        self.use(3, start=ALWAYS)
        page = self.browser.get(page_of(ORGANIZATIONS, self.acme.id, "plan"))
        self.assertContains(page, "900 for a plan that renews each month, 3 for one that never")

    def test_plan_page_shows_invalid_values_beside_their_fields(self):
        for fields in (
            {"plan": "platinum"},
            {"tests_limit": "-1"},
            {"tests_limit": "9" * 20},
            {"reason": ""},
        ):
            answer = self.send("plan", **fields)
            self.assertTrue(answer.context["form"].errors, fields)
        self.assertContains(self.send("plan"), "nothing changed")


class ContactTests(OrganizationTestCase):
    def emails(self) -> list[str]:
        return [contact.email for contact in contacts_of(self.acme.pk).exclude(verified_at=None)]

    def test_address_of_a_contact_is_in_no_cookie_after_it_was_set(self):
        url = page_of(ORGANIZATIONS, self.acme.id, "contacts")
        form = {"contacts": "olga@acme.example", "reason": "agreed by phone"}
        answer = self.browser.post(url, filled_in(self.browser, url, **form))
        cookie = answer.cookies["messages"].value  # The page that follows shows it.
        text = ", ".join(map(str, CookieStorage(answer.wsgi_request)._decode(cookie)))  # type: ignore[attr-defined]
        self.assertIn("new contacts: 1", text)
        self.assertNotIn("olga", text)

    def test_contacts_can_be_set_and_removed_and_are_masked_in_the_audit_log(self):
        answer = self.send("contacts", contacts=" Olga@acme.example\n")
        self.assertContains(answer, "olga@acme.example")
        event = AuditEvent.objects.get(action="organization.contacts_changed")
        self.assertEqual(event.changes, {"contacts": [[], ["o…@acme.example"]]})
        self.assertEqual(event.reason, "agreed by phone")
        self.assertContains(self.send("contacts", contacts="olga@acme.example"), "nothing")
        self.assertTrue(AuditHead.objects.get(pk=self.acme.pk).has_destination)
        self.send("contacts", contacts="")
        self.assertEqual(self.emails(), [])
        self.assertFalse(AuditHead.objects.get(pk=self.acme.pk).has_destination)

    def test_contacts_that_are_no_addresses_hold_a_key_or_are_too_many_are_refused(self):
        key = self.issue()[1].key
        many = " ".join(f"{n}@example.com" for n in range(11))
        for emails in ("olga", "a@b@c", "x" * 255 + "@example.com", f"{key}@example.com", many):
            answer = self.send("contacts", contacts=emails)
            self.assertTrue(answer.context["form"].errors["contacts"], emails)
        self.assertEqual(self.emails(), [])

    def test_form_of_contacts_lists_no_address_that_a_thief_has_added(self):
        _, thief = self.issue()
        self.send("contacts", contacts="olga@acme.example")
        contacts = [{"email": e} for e in ("olga@acme.example", "thief@evil.example")]
        self.assertEqual(thief.change("/v1/organization", {"contacts": contacts}).status_code, 200)
        form = self.browser.get(page_of(ORGANIZATIONS, self.acme.id, "contacts")).context["form"]
        self.assertEqual(form["contacts"].value(), "olga@acme.example")
        self.assertContains(self.browser.get(page_of(ORGANIZATIONS, self.acme.id)), "not confirmed")
        self.send("contacts", contacts="olga@acme.example")
        self.assertEqual(contacts_of(self.acme.pk).count(), 1)

    def test_leak_policy_can_be_loosened_and_tightened_by_staff(self):
        for policy in ("notify", "revoke"):
            self.send("leak_policy", on_leak=policy)
            event = AuditEvent.objects.latest("sequence")
            self.assertEqual(event.action, "organization.leak_policy_changed")
            self.assertEqual(event.changes["on_leak"][1], policy)
        self.assertContains(self.send("leak_policy", on_leak="revoke"), "nothing changed")


class SentNoticesTests(OrganizationTestCase):
    def test_sent_notices_show_to_whom_what_when_and_the_answer_by_permission(self):
        self.send("contacts", contacts="olga@acme.example")
        contact, now = self.acme.contacts.get(), timezone.now()
        key, row = self.issue()[0], OutboxRow.objects.get(type="api_key.issued")
        for columns in (
            {"row": row, "delivered_at": now, "answer": "250 2.0.0 Ok: queued as 4BxYZ"},
            {"failed_at": now, "answer": "550 <b>unknown</b>", "tries": 10},
            {},
        ):
            Delivery.objects.create(
                organization=self.acme,
                contact=contact,
                type="api_key.leaked",
                is_at_once=True,
                due_at=now,
                **columns,
            )
        page = self.browser.get(page_of(ORGANIZATIONS, self.acme.id)).content.decode()
        for said in (
            "<bdi>olga@acme.example</bdi>",
            f'api_key.leaked <a href="{page_of(KEYS, key.pk)}">{key.pk}</a>',
            "250 2.0.0 Ok: queued as 4BxYZ",
            "550 &lt;b&gt;unknown&lt;/b&gt;",
            "given up",
            "waits",
            "10 tries",
        ):
            self.assertIn(said, page)
        for rights, is_shown in (((), False), (("view_delivery",), True)):
            browser = self.colleague("view_organization", *rights)
            page = browser.get(page_of(ORGANIZATIONS, self.acme.id)).content.decode()
            self.assertEqual("Sent notices" in page, is_shown)
            self.assertEqual("queued as" in page, is_shown)


class AttentionTests(OrganizationTestCase):
    def test_attention_filter_finds_suspended_organizations(self):
        self.send("suspend", reason="unpaid")
        self.assertEqual(self.listed(attention="suspended"), {"Acme"})

    def test_attention_filter_finds_organizations_that_lost_their_last_managing_key(self):
        now = timezone.now()
        first, second = self.issue()[0], self.issue()[0]
        keys = ApiKey.objects.filter(pk__in=[first.pk, second.pk])
        for columns, is_left in (
            ({"revoked_at": now}, True),
            ({"revoked_at": now - timedelta(days=31)}, False),
            ({"created_at": now - timedelta(days=9), "expires_at": now - timedelta(days=1)}, True),
            ({"livemode": False, "revoked_at": now}, False),
            ({"scopes": ["tests:read"], "revoked_at": now}, False),
        ):
            with self.subTest(columns), transaction.atomic():
                for count in (1, 2):
                    keys.filter(pk__in=[first.pk, second.pk][:count]).update(**columns)
                    found = {"Acme"} if is_left and count == 2 else set()
                    self.assertEqual(self.listed(attention="keyless"), found)
                transaction.set_rollback(True)
        revoke(first, actor=Actor.cli())
        KeySecret.objects.filter(api_key=second).update(ended_at=now)
        self.assertEqual(self.listed(attention="keyless"), {"Acme"})
        Organization.objects.update(suspended_at=now)
        self.assertEqual(self.listed(attention="keyless"), set())

    def test_attention_filter_finds_organizations_above_four_fifths_of_a_limit(self):
        self.use(799)
        self.assertEqual(self.listed(attention="near"), set())
        Usage.objects.update(used=800)
        self.assertEqual(self.listed(attention="near"), {"Acme"})
        Organization.objects.filter(pk=self.acme.pk).update(tests_limit=2_000_000_000)
        self.assertEqual(self.listed(attention="near"), set())

    def test_attention_filter_ignores_past_months_and_counts_domains(self):
        self.use(1000, start=date(2020, 1, 1))
        self.use(1000, start=ALWAYS)
        self.assertEqual(self.listed(attention="near"), set())
        self.use(9, meter=Meter.DOMAINS, start=ALWAYS)
        self.assertEqual(self.listed(attention="near"), {"Acme"})
