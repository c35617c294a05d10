"""Tests of the admin: staff issue, find and revoke keys, and suspend organizations."""

import re
from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from staff.models import User
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.staff import filled_in

KEYS = "/admin/apikeys/apikey/"
ORGANIZATIONS = "/admin/accounts/organization/"
WHOLE_KEY = re.compile(r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}")


def page_of(section: str, object_id: str, verb: str = "change") -> str:
    """Return the address of an object's page; the admin has its own quoting of ids."""
    return f"{section}{quote(object_id)}/{verb}/"


class AdminTestCase(ApiTestCase):
    def setUp(self) -> None:
        self.browser = self.staff()

    def form(self, **fields: object) -> dict[str, object]:
        """Open the form that issues keys and fill it in; `fields` override."""
        needed = {"organization": self.acme.id, "name": "CI", "scopes": ["tests:read"]}
        return filled_in(self.browser, f"{KEYS}add/", **{**needed, "reason": "asked for", **fields})

    def colleague(self, *codenames: str) -> Client:
        """Return the browser of staff with these permissions only."""
        user = User.objects.create_user(f"user-{len(codenames)}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return self.staff(user)


class IssueTests(AdminTestCase):
    def test_issued_key_is_shown_once_on_the_answer_and_works(self):
        response = self.browser.post(f"{KEYS}add/", self.form())

        self.assertEqual(response.status_code, 200)
        self.assertIn("no-store", response["Cache-Control"])
        shown = WHOLE_KEY.findall(response.content.decode())
        self.assertEqual(len(shown), 1)
        answer = ApiClient(shown[0]).get("/v1/auth/me").json()
        self.assertEqual(answer["scopes"], ["tests:read"])
        self.assertEqual(answer["organization"]["id"], self.acme.id)

        self.assertNotIn(shown[0], str(self.browser.cookies))
        for session in Session.objects.all():
            self.assertNotIn(shown[0], str(session.get_decoded()))
        for page in (KEYS, page_of(KEYS, answer["key_id"]), "/admin/"):
            self.assertNotIn(shown[0][17:], self.browser.get(page).content.decode())

    def test_issued_key_can_be_selected_without_scripts_and_the_copy_button_is_hidden(self):
        page = self.browser.post(f"{KEYS}add/", self.form()).content.decode()
        self.assertRegex(
            page, rf'<code class="plaintext" id="plaintext">{WHOLE_KEY.pattern}</code>'
        )
        self.assertRegex(page, r'<button [^>]*id="copy"[^>]* hidden>')

    def test_issue_event_and_creator_name_the_member_of_staff(self):
        self.browser.post(f"{KEYS}add/", self.form())
        event = AuditEvent.objects.get(action="api_key.issued")
        self.assertEqual((event.actor_type, event.actor_label), ("staff", "sam"))
        self.assertEqual(ApiKey.objects.get().created_by, "staff:sam")

    def test_staff_can_issue_sandbox_keys_and_keys_that_expire(self):
        end = (timezone.now() + timedelta(days=30)).replace(microsecond=0)
        form = self.form(
            livemode="test",
            expires_at_0=end.date().isoformat(),
            expires_at_1=end.time().isoformat(),
        )
        page = self.browser.post(f"{KEYS}add/", form).content.decode()
        api_key = ApiKey.objects.get()
        self.assertIs(api_key.livemode, False)
        self.assertEqual(api_key.expires_at, end)
        self.assertIn("rk_test_", page)

    def test_issue_form_sent_twice_makes_one_key_and_says_so(self):
        form = self.form()
        self.browser.post(f"{KEYS}add/", form)
        response = self.browser.post(f"{KEYS}add/", form)
        self.assertEqual(ApiKey.objects.count(), 1)
        self.assertContains(response, "already issued")
        self.assertContains(response, page_of(KEYS, ApiKey.objects.get().id))
        self.assertNotRegex(response.content.decode(), WHOLE_KEY)

    def test_issue_refused_by_the_verb_is_shown_beside_its_field(self):
        past: dict[str, object] = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
        key = self.issue()[1].key
        refused: list[tuple[dict[str, object], str]] = [
            ({"name": "a\u202eb"}, "control characters"),
            ({"name": f"copy of {key}"}, "holds an API key"),
            (past, "must be in the future"),
            ({"expires_at_0": "2990-01-01", "expires_at_1": "00:00"}, "at most 10 years"),
            ({"scopes": []}, "This field is required"),
            ({"scopes": ["tests:delete"]}, "Select a valid choice"),
            ({"key_id": "key_chosenbyme00"}, "has expired"),
            ({"organization": "org_nowhere00000"}, "Select a valid choice"),
        ]
        for fields, message in refused:
            with self.subTest(message):
                response = self.browser.post(f"{KEYS}add/", self.form(**fields))
                self.assertContains(response, message)
        self.assertEqual(ApiKey.objects.count(), 1)


class RevokeTests(AdminTestCase):
    def test_revoke_page_asks_for_a_reason_and_the_next_request_is_refused(self):
        api_key, client = self.issue()
        url = page_of(KEYS, api_key.id, "revoke")
        self.assertContains(self.browser.get(page_of(KEYS, api_key.id)), url)
        self.assertContains(self.browser.get(url), "cannot be undone")
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

        why = {"category": "leaked", "reason": "on a forum"}
        response = self.browser.post(url, why, follow=True)

        self.assertContains(response, "is revoked")
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")
        event = AuditEvent.objects.get(action="api_key.revoked")
        self.assertEqual((event.actor_label, event.reason), ("sam", "leaked: on a forum"))
        self.assertNotContains(self.browser.get(page_of(KEYS, api_key.id)), url)

    def test_revoke_redirects_to_the_key_even_if_its_id_looks_quoted(self):
        # The admin's own quoting of ids reads _3A as a colon.
        api_key, _ = self.issue(id="key_3AbcdEfghijK")
        response = self.browser.post(
            page_of(KEYS, api_key.id, "revoke"), {"category": "leaked"}, follow=True
        )
        self.assertEqual(response.request["PATH_INFO"], page_of(KEYS, api_key.id))

    def test_revoke_needs_a_category_and_for_other_a_reason(self):
        api_key, client = self.issue()
        for why in (
            {},
            {"category": "", "reason": "because"},
            {"category": "bored"},
            {"category": "other"},
            {"category": "other", "reason": "  "},
            {"category": "leaked", "reason": "x" * 181},
            {"category": "leaked", "reason": f"it was {client.key}"},
        ):
            self.browser.post(page_of(KEYS, api_key.id, "revoke"), why)
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_revoke_from_a_stale_page_changes_nothing_and_keeps_the_first_reason(self):
        api_key, _ = self.issue()
        revoke(api_key, actor=Actor.cli(), reason="first")
        url = page_of(KEYS, api_key.id, "revoke")
        response = self.browser.post(url, {"category": "unused"}, follow=True)
        api_key.refresh_from_db()
        self.assertEqual(api_key.revoked_reason, "first")
        self.assertContains(response, "was revoked already; nothing changed")
        self.assertEqual(LogEntry.objects.count(), 0)

    def test_page_of_an_unknown_key_is_404_with_a_way_back(self):
        for verb in ("revoke", "change"):
            page = self.browser.get(page_of(KEYS, "key_nothing00000", verb))
            self.assertContains(page, f'href="{KEYS}"', status_code=404)


class OddInputTests(AdminTestCase):
    def test_text_no_column_can_hold_is_never_a_500(self):
        self.browser.raise_request_exception = False
        api_key, _ = self.issue()
        for response in (
            self.browser.post(f"{KEYS}add/", self.form(organization="a\x00")),
            self.browser.get(f"{KEYS}a%00b/revoke/"),
            self.browser.get("/admin/apikeys/apikey/?q=%00"),
            self.browser.post(
                page_of(KEYS, api_key.id, "revoke"), {"category": "other", "reason": "a\x00b"}
            ),
        ):
            self.assertIn(response.status_code, (200, 302, 400))


class OrganizationTests(AdminTestCase):
    def test_organization_is_added_with_a_trimmed_name_and_a_plan(self):
        self.browser.post(
            f"{ORGANIZATIONS}add/", {"name": " Initech ", "plan": "starter", "reason": "signed"}
        )
        organization = Organization.objects.get(name="Initech")
        event = AuditEvent.objects.get(organization_id=organization.id)
        self.assertEqual((event.action, event.actor_label), ("organization.created", "sam"))
        self.issue(organization=organization)

    def test_organization_with_an_invalid_name_is_refused_beside_its_field(self):
        response = self.browser.post(
            f"{ORGANIZATIONS}add/", {"name": "a\u202eb", "plan": "starter"}
        )
        self.assertContains(response, "control characters")

    def test_organization_is_suspended_and_resumed_with_effect_on_its_keys(self):
        _, client = self.issue()
        page, suspend, resume = (
            page_of(ORGANIZATIONS, self.acme.id, verb) for verb in ("change", "suspend", "resume")
        )
        self.assertContains(self.browser.get(page), suspend)

        self.browser.post(suspend, {"reason": "unpaid"})
        self.assertRefused(client.get("/v1/auth/me"), 403, "organization_suspended")
        self.assertContains(self.browser.get(page), resume)

        self.browser.post(resume, filled_in(self.browser, resume, reason="paid"))
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)


class PermissionTests(AdminTestCase):
    def test_api_key_opens_no_admin_page(self):
        _, client = self.issue(scopes=list(ALL_SCOPES))
        self.assertIn("/admin/login/", client.get(KEYS)["Location"])
