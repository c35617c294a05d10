"""Tests of every verb of staff: its reason, its event, stale pages, and the words of refusals."""

from datetime import timedelta
from html import unescape
from typing import Any, Final, NamedTuple

from django.contrib.admin.models import LogEntry
from django.utils import timezone

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.verbs.change import change
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from staff.keys.keys import ApiKeyAdmin
from staff.organizations.organizations import OrganizationAdmin
from tests.staff.test_admin import KEYS, ORGANIZATIONS, WHOLE_KEY, AdminTestCase, page_of
from tests.support.cast import Answer, ApiClient
from tests.support.staff import filled_in

WHY: Final = "ticket 4711"


class Verb(NamedTuple):
    """A verb's page: what is typed into it, its event, and what a second sending is told."""

    section: str
    slug: str
    fields: dict[str, Any]
    action: str
    afterwards: str = "was changed after that page was opened"


VERBS: Final = (
    Verb(KEYS, "rotate", {"overlap": "3600"}, "api_key.rotated"),
    Verb(KEYS, "finish-rotation", {}, "api_key.rotation_finished", "has no open rotation"),
    Verb(KEYS, "narrow", {"scopes": ["tests:read"]}, "api_key.changed", "holds one scope"),
    Verb(KEYS, "edit", {"name": "New"}, "api_key.changed"),
    Verb(KEYS, "revoke", {"category": "other"}, "api_key.revoked", "was revoked already"),
    Verb(KEYS, "revoke-made", {"category": "other"}, "api_key.revoked", "has made nothing"),
    Verb(ORGANIZATIONS, "plan", {"plan": "free"}, "organization.plan_changed"),
    Verb(ORGANIZATIONS, "rename", {"name": "New"}, "organization.renamed"),
    Verb(ORGANIZATIONS, "contacts", {"contacts": "a@b.de"}, "organization.contacts_changed"),
    Verb(ORGANIZATIONS, "leak_policy", {"on_leak": "notify"}, "organization.leak_policy_changed"),
    Verb(ORGANIZATIONS, "suspend", {}, "organization.suspended", "is suspended already"),
    Verb(ORGANIZATIONS, "resume", {}, "organization.resumed", "is not suspended"),
)
# Verbs that only end things are carried out even if the row has changed.
ALWAYS: Final = ("revoke", "revoke-made", "suspend")


class VerbTestCase(AdminTestCase):
    api_key: ApiKey
    customer: Organization

    def opened(self, verb: Verb, **fields: Any) -> tuple[str, dict[str, Any]]:
        """Make a row for a verb; return its page's address and the form as a browser sends it."""
        self.customer = self.organization("Old", "team")
        self.api_key, client = self.issue(name="Old", organization=self.customer)
        if verb.slug == "finish-rotation":
            rotate(self.api_key, actor=Actor.cli(), overlap=timedelta(hours=1))
        if verb.slug == "revoke-made":
            self.make(client)
            revoke(self.api_key, actor=Actor.cli())
        if verb.slug == "resume":
            self.customer.suspend(actor=Actor.cli(), reason="unpaid")
        row = self.api_key if verb.section == KEYS else self.customer
        url = page_of(verb.section, row.pk, verb.slug)
        return url, filled_in(self.browser, url, **{"reason": WHY, **verb.fields, **fields})

    def everything(self) -> list[Any]:
        tables: Any = (AuditEvent, LogEntry, ApiKey, Organization)
        return [list(table.objects.order_by("pk").values()) for table in tables]

    def told(self, answer: Answer) -> str:
        return unescape(" ".join(str(message) for message in answer.context["messages"]))

    def faults(self, answer: Answer) -> list[str]:
        return [str(fault) for faults in answer.context["form"].errors.values() for fault in faults]


class EveryVerbTests(VerbTestCase):
    def test_every_verb_is_in_the_table_of_verbs(self):
        for section, admin in ((KEYS, ApiKeyAdmin), (ORGANIZATIONS, OrganizationAdmin)):
            slugs = {verb.slug for verb in VERBS if verb.section == section}
            self.assertEqual(slugs, {verb.slug for verb in admin.verbs})

    def test_verb_sent_twice_is_carried_out_once_and_the_second_time_says_so(self):
        for verb in VERBS:
            with self.subTest(verb.slug):
                url, form = self.opened(verb)
                by_staff = AuditEvent.objects.filter(actor_label="sam")
                before = by_staff.count()
                self.browser.post(url, form)
                self.assertEqual(by_staff.count(), before + 1)
                event = by_staff.latest("created_at", "sequence")
                self.assertEqual(event.action, verb.action)
                self.assertEqual(event.reason.removeprefix("other: "), WHY)
                self.assertIn(WHY, LogEntry.objects.latest("pk").change_message)
                after = self.everything()
                told = self.told(self.browser.post(url, form, follow=True))
                self.assertIn(verb.afterwards, told)
                last = "api_key.revoked" if verb.slug == "revoke-made" else verb.action
                self.assertRegex(told, rf"; nothing changed. Its last event: {last} by .*, 20.*Z")
                self.assertEqual(self.everything(), after)

    def test_verb_without_a_valid_reason_changes_nothing_and_names_the_field(self):
        bad = (
            ("", "is required.|Say why"),
            ("a\u202eb", "“.+” must not hold control characters"),
            (f"it was {self.issue()[1].key}", "“.+” holds an API key"),
            ("x" * 201, "at most (200|180) characters"),
        )
        for verb in VERBS:
            # One verb of each of the two forms of reasons is enough for their texts.
            texts = bad if verb.slug in ("rotate", "revoke") else bad[:1]
            for reason, said in texts:
                with self.subTest(verb=verb.slug, reason=reason[:3]):
                    url, form = self.opened(verb, reason=reason)
                    before = self.everything()
                    (fault, *_) = self.faults(self.browser.post(url, form))
                    self.assertRegex(fault, said)
                    self.assertNotIn("reason", fault)
                    self.assertEqual(self.everything(), before)

    def test_verb_on_a_changed_row_changes_nothing_and_tells_the_last_event(self):
        for verb in VERBS:
            with self.subTest(verb.slug):
                url, form = self.opened(verb)
                if verb.section == ORGANIZATIONS:
                    self.customer.rename(actor=Actor.cli(), reason="merger", name="Bigger")
                elif verb.slug == "revoke-made":
                    continue
                else:
                    change(self.api_key, actor=Actor.cli(), max_tests_per_month=7)
                before = self.everything()
                answer = self.browser.post(url, form, follow=True)
                if verb.slug in ALWAYS:
                    self.assertNotIn("nothing changed", self.told(answer))
                    continue
                done = "api_key.changed" if verb.section == KEYS else "organization.renamed"
                self.assertIn("was changed after that page was opened", self.told(answer))
                self.assertIn(f"Its last event: {done} by cli", self.told(answer))
                self.assertEqual(self.everything(), before)

    def test_verb_on_a_revoked_or_expired_key_says_so_on_form_and_button(self):
        for verb in VERBS:
            for state in ("revoked", "expired"):
                if verb.section == ORGANIZATIONS or verb.slug in ALWAYS:
                    continue
                with self.subTest(verb=verb.slug, state=state):
                    url, form = self.opened(verb)
                    if state == "revoked":
                        revoke(self.api_key, actor=Actor.cli())
                    else:
                        now = timezone.now()
                        times = {"created_at": now - timedelta(days=2), "expires_at": now}
                        ApiKey.objects.filter(pk=self.api_key.pk).update(**times)
                    for answer in (
                        self.browser.post(url, form, follow=True),
                        self.browser.get(url, follow=True),
                    ):
                        self.assertIn(f"is {state}; nothing changed.", self.told(answer))

    def test_last_event_is_not_told_without_the_permission_to_view_events(self):
        url, form = self.opened(VERBS[-2])
        self.browser.post(url, form)
        browser = self.colleague("view_organization", "suspend_organization")
        told = self.told(browser.post(url, form, follow=True))
        self.assertIn("is suspended already; nothing changed.", told)
        self.assertNotIn("event", told)


class KeyFieldTests(VerbTestCase):
    """Tests of the form that issues a key and of the one that changes it."""

    def edit(self, api_key: ApiKey, **fields: Any) -> Answer:
        url = page_of(KEYS, api_key.pk, "edit")
        form = filled_in(self.browser, url, **{"reason": WHY, **fields})
        return self.browser.post(url, form, follow=True)

    def test_edit_changes_name_expiry_addresses_and_share_at_once(self):
        api_key, client = self.issue()
        day = timezone.now().date() + timedelta(days=30)
        answer = self.edit(
            api_key,
            name="New",
            expires_at_0=str(day),
            allowed_ips="192.0.2.7",
            max_tests_per_month="5",
        )
        said = "is changed: Allowed addresses, Expires (UTC), Its own share of the plan's tests"
        self.assertIn(said, self.told(answer))
        event = AuditEvent.objects.get(action="api_key.changed")
        self.assertEqual(
            event.changes,
            {
                "name": ["CI", "New"],
                "expires_at": [None, f"{day}T23:59:59Z"],
                "allowed_ips": [None, ["192.0.2.7"]],
                "max_tests_per_month": [None, 5],
            },
        )
        self.assertRefused(client.get("/v1/auth/me"), 403, "ip_not_allowed")

        limits = ("expires_at_0", "expires_at_1", "allowed_ips", "max_tests_per_month")
        self.edit(api_key, **dict.fromkeys(limits, ""))
        answer = client.get("/v1/auth/me").json()
        self.assertEqual((answer["key_name"], answer["usage"]["tests_limit"]), ("New", 1000))

    def test_edit_sent_as_shown_changes_nothing(self):
        end = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
        api_key, _ = self.issue(
            expires_at=end, allowed_ips=["192.0.2.0/24", "2001:db8::7/128"], max_tests_per_month=5
        )
        self.assertIn("is like this already; nothing changed", self.told(self.edit(api_key)))
        self.assertEqual(AuditEvent.objects.filter(action="api_key.changed").count(), 0)

    def test_issue_form_takes_addresses_share_and_a_day_of_expiry(self):
        day = timezone.now().date() + timedelta(days=30)
        limits = {"expires_at_0": str(day), "allowed_ips": "127.0.0.1", "max_tests_per_month": "5"}
        page = self.browser.post(f"{KEYS}add/", self.form(**limits)).content.decode()
        client = ApiClient(WHOLE_KEY.findall(page)[0])
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        api_key = ApiKey.objects.get()
        self.assertEqual(str(api_key.expires_at), f"{day} 23:59:59+00:00")
        self.assertEqual((api_key.allowed_ips, api_key.max_tests_per_month), (["127.0.0.1"], 5))
        self.assertEqual(AuditEvent.objects.get(action="api_key.issued").reason, "asked for")

    def test_invalid_field_is_refused_in_the_words_of_the_form(self):
        key = self.issue()[1].key
        for name, value, said in (
            ("name", "a\u202eb", "“Name” must not hold control characters."),
            ("name", "\u3164", "“Name” must hold at least one visible character."),
            ("name", key, "“Name” holds an API key."),
            ("name", "x" * 101, "Ensure this value has at most 100 characters (it has 101)."),
            ("expires_at_0", "2020-01-01", "“Expires (UTC)” must be in the future."),
            ("expires_at_0", "2990-01-01", "“Expires (UTC)” must be at most 10 years from now."),
            ("expires_at_0", "2027-02-30", "Enter a valid date."),
            ("expires_at_1", "10:00", "Enter a valid date."),
            ("allowed_ips", "a\x00b", "“Allowed addresses” holds"),
            ("allowed_ips", "192.0.2.7/24", "“Allowed addresses” holds"),
            ("allowed_ips", "192.0.2.7 " * 21, "At most 20 addresses or networks."),
            ("max_tests_per_month", "-1", "Ensure this value is greater than or equal to 0."),
        ):
            pages = {
                "edit": lambda **fields: self.edit(self.issue()[0], **fields),
                "add": lambda **fields: self.browser.post(f"{KEYS}add/", self.form(**fields)),
            }
            for page, send in pages.items():
                with self.subTest(page=page, said=said):
                    (fault, *_) = self.faults(send(**{name: value}))
                    self.assertTrue(fault.startswith(said), fault)


class OrganizationOfKeyTests(VerbTestCase):
    def test_key_issued_from_an_organizations_page_belongs_to_it(self):
        page = self.browser.get(page_of(ORGANIZATIONS, self.globex.pk)).content.decode()
        url = f"{KEYS}add/?organization={self.globex.pk}"
        self.assertIn(f'href="{url}"', page)
        asked = self.browser.get(url)
        self.assertContains(asked, f"Issue an API key for Globex ({self.globex.pk})")
        self.assertNotContains(asked, 'name="organization"')
        fields = {"name": "CI", "scopes": ["tests:read"], "reason": WHY}
        form = filled_in(self.browser, url, **fields, organization=self.acme.pk)
        self.assertContains(self.browser.post(url, form), f"<bdi>Globex ({self.globex.pk})</bdi>")
        self.assertEqual(ApiKey.objects.get().organization, self.globex)

    def test_new_secret_of_a_suspended_organization_is_announced_as_refused(self):
        api_key, _ = self.issue()
        rotation = page_of(KEYS, api_key.pk, "rotate")
        for is_suspended in (False, True):
            rotated = filled_in(self.browser, rotation, reason=WHY)
            for url, fields in ((f"{KEYS}add/", self.form()), (rotation, rotated)):
                page = self.browser.post(url, fields).content.decode()
                self.assertRegex(page, WHOLE_KEY)
                said = "The organization is suspended: the key is refused" in page
                self.assertEqual(said, is_suspended)
            self.acme.suspend(actor=Actor.cli(), reason="unpaid")

    def test_issue_form_for_an_unknown_organization_is_404(self):
        for wanted in ("org_nothing00000", "", "%00", "é"):
            answer = self.browser.get(f"{KEYS}add/?organization={wanted}")
            self.assertIn(answer.status_code, (404, 400))

    def test_renamed_organization_shows_its_name_everywhere_and_both_in_its_event(self):
        _, client = self.issue()
        url = page_of(ORGANIZATIONS, self.acme.pk, "rename")
        form = filled_in(self.browser, url, name=" Acme Mail GmbH ", reason=WHY)
        self.assertIn("Acme Mail GmbH (org_", self.told(self.browser.post(url, form, follow=True)))
        event = AuditEvent.objects.get(action="organization.renamed")
        self.assertEqual(event.changes, {"name": ["Acme", "Acme Mail GmbH"]})
        name = client.get("/v1/auth/me").json()["organization"]["name"]
        self.assertEqual(name, "Acme Mail GmbH")
        self.assertContains(self.browser.get(KEYS, {"q": "mail gmbh"}), "Acme Mail GmbH")
