"""Tests of the page of one key and of each verb reached from it."""

from datetime import timedelta
from html import unescape
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.utils import timezone

from apikeys.authentication.scope_use import note_exercised
from apikeys.models import ApiKey, KeyDay, KeySecret
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.revoke import Cascade, revoke, would_revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from staff.models import User
from tests.staff.test_admin import KEYS, WHOLE_KEY, AdminTestCase, page_of
from tests.support.cast import Answer, ApiClient
from tests.support.staff import filled_in


class OneKeyTestCase(AdminTestCase):
    def page(self, api_key: ApiKey) -> str:
        return str(unescape(self.browser.get(page_of(KEYS, api_key.id)).content.decode()))

    def send(self, api_key: ApiKey, verb: str, **fields: Any) -> Answer:
        """Open a verb's page and send its form, filled in."""
        opened = self.opened(api_key, verb, **fields)
        return self.browser.post(page_of(KEYS, api_key.id, verb), opened, follow=True)

    def opened(self, api_key: ApiKey, verb: str, **fields: Any) -> dict[str, Any]:
        url = page_of(KEYS, api_key.id, verb)
        return filled_in(self.browser, url, **{"reason": "asked for", **fields})

    def made_with(self, client: ApiClient, **fields: object) -> ApiClient:
        """Make another key with this one by the API."""
        return ApiClient(client.send("/v1/keys", {"name": "Child", **fields}).json()["key"])


class PageTests(OneKeyTestCase):
    def test_key_page_shows_identity_secrets_scopes_chart_origin_and_events(self):
        api_key, client = self.issue(name="Nightly")
        client.get("/v1/auth/me", headers={"User-Agent": "importer/3"})
        child = self.made_with(client)
        child_id = child.get("/v1/auth/me").json()["key_id"]
        note_exercised(api_key.pk, ["tests:read"], day=timezone.now().date())

        page = self.page(api_key)

        for said in (
            api_key.id,
            "Acme</bdi></a>, Team",
            client.key[8:16],
            "127.0.0.1",
            "importer/3",
            "2 requests, none refused",
            f"{timezone.now():%Y-%m-%d}</td>",
            page_of(KEYS, child_id),
            "api_key.issued",
        ):
            self.assertIn(said, page)
        child_key = ApiKey.objects.get(pk=child_id)
        self.assertIn(page_of(KEYS, api_key.id), self.page(child_key))

    def test_key_page_has_a_chart_and_a_table_of_the_same_numbers(self):
        api_key, _ = self.issue()
        today = timezone.now().date()
        KeyDay.objects.create(api_key=api_key, day=today, requests=1200, limited=30)
        KeyDay.objects.create(
            api_key=api_key, day=today - timedelta(days=40), requests=7, limited=0
        )
        page = self.page(api_key)
        self.assertIn("1,200 requests, 30 of them refused", page)
        self.assertIn('role="img"', page)
        self.assertEqual(page.split("The same as a table")[1].count("<tr><td>"), 30)

    def test_customer_text_is_escaped_on_every_key_page(self):
        api_key, client = self.issue(name="<script>alert(1)</script>")
        client.get("/v1/auth/me", headers={"User-Agent": "<img src=x onerror=alert(1)>"})
        for url in (page_of(KEYS, api_key.id), KEYS, page_of(KEYS, api_key.id, "revoke")):
            content = self.browser.get(url).content.decode()
            self.assertNotIn("<script>alert", content)
            self.assertNotIn("<img src=x", content)

    def test_key_page_offers_only_the_verbs_that_apply(self):
        api_key, _ = self.issue(scopes=["tests:read"])
        page = self.page(api_key)
        self.assertIn(">Rotate</a>", page)
        self.assertNotIn(">Finish rotation</a>", page)
        self.assertNotIn(">Narrow scopes</a>", page)
        revoke(api_key, actor=Actor.cli())
        page = self.page(api_key)
        for label in ("Rotate", "Change key", "Revoke key", "Revoke what it made"):
            self.assertNotIn(f">{label}</a>", page)


class RotateTests(OneKeyTestCase):
    def test_rotate_shows_the_new_secret_once_and_keeps_the_old_one_for_the_overlap(self):
        api_key, old = self.issue()
        response = self.send(api_key, "rotate", overlap="3600")
        self.assertEqual(response.status_code, 200)
        self.assertIn("no-store", response["Cache-Control"])
        (shown,) = set(WHOLE_KEY.findall(response.content.decode()))
        for key in (shown, old.key):
            self.assertEqual(ApiClient(key).get("/v1/auth/me").status_code, 200)
        for session in Session.objects.all():
            self.assertNotIn(shown[17:], str(session.get_decoded()))
        self.assertNotIn(shown[17:], self.page(api_key))
        event = AuditEvent.objects.get(action="api_key.rotated")
        self.assertEqual(event.actor_label, "sam")
        self.assertEqual(LogEntry.objects.get().change_message, "Rotate: asked for")

    def test_rotate_without_overlap_ends_the_old_secret_at_once(self):
        api_key, old = self.issue()
        self.send(api_key, "rotate", overlap="0")
        self.assertRefused(old.get("/v1/auth/me"), 401, "api_key_expired")

    def test_reload_after_rotate_rotates_nothing_and_shows_no_key(self):
        api_key, _ = self.issue()
        form = self.opened(api_key, "rotate", overlap="3600")
        url = page_of(KEYS, api_key.id, "rotate")
        self.browser.post(url, form)
        again = self.browser.post(url, form, follow=True)
        self.assertContains(again, "was changed after that page was opened")
        self.assertNotRegex(again.content.decode(), WHOLE_KEY)
        self.assertEqual(KeySecret.objects.count(), 2)

    def test_rotate_accepts_only_the_offered_overlaps(self):
        api_key, _ = self.issue()
        for overlap in ("", "-1", "99999999", "x"):
            self.send(api_key, "rotate", overlap=overlap)
        self.assertEqual(KeySecret.objects.count(), 1)


class FinishRotationTests(OneKeyTestCase):
    def test_finish_rotation_shows_the_old_secrets_last_use_and_ends_it(self):
        api_key, old = self.issue()
        old.get("/v1/auth/me")
        rotate(api_key, actor=Actor.cli(), overlap=timedelta(hours=1))
        asked = self.browser.get(page_of(KEYS, api_key.id, "finish-rotation"))
        self.assertContains(asked, "from 127.0.0.1")
        self.assertContains(self.send(api_key, "finish-rotation"), "has ended")
        self.assertRefused(old.get("/v1/auth/me"), 401, "api_key_expired")


class NarrowTests(OneKeyTestCase):
    def test_narrow_removes_scopes_with_a_reason(self):
        api_key, client = self.issue()
        answer = self.send(api_key, "narrow", scopes=["tests:read"], reason="asked for")
        self.assertContains(answer, "holds now: tests:read")
        self.assertEqual(client.get("/v1/auth/me").json()["scopes"], ["tests:read"])
        event = AuditEvent.objects.get(action="api_key.changed")
        self.assertEqual(event.reason, "asked for")
        self.assertEqual(event.changes["scopes"], [list(ALL_SCOPES), ["tests:read"]])

    def test_narrow_cannot_add_a_scope_or_remove_all(self):
        api_key, _ = self.issue(scopes=["tests:read", "domains:read"])
        for scopes in ([], ["tests:read", "billing:manage"]):
            self.send(api_key, "narrow", scopes=scopes)
        api_key.refresh_from_db()
        self.assertEqual(api_key.scopes, ["tests:read", "domains:read"])

    def test_verb_form_with_a_forged_seen_is_refused(self):
        api_key, _ = self.issue()
        form = self.opened(api_key, "narrow", scopes=["tests:read"])
        for seen in ("", "evt_nothing00000", AuditEvent.objects.earliest("created_at").pk):
            self.browser.post(page_of(KEYS, api_key.id, "narrow"), {**form, "seen": seen})
        api_key.refresh_from_db()
        self.assertEqual(api_key.scopes, list(ALL_SCOPES))


class AddressTests(OneKeyTestCase):
    def test_edit_binds_a_key_to_addresses_and_frees_it(self):
        api_key, client = self.issue()
        self.send(api_key, "edit", allowed_ips="192.0.2.0/24\n2001:db8::7")
        self.assertRefused(client.get("/v1/auth/me"), 403, "ip_not_allowed")
        self.assertContains(
            self.browser.get(page_of(KEYS, api_key.id)), "192.0.2.0/24, 2001:db8::7"
        )
        self.send(api_key, "edit", allowed_ips="")
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_edit_with_host_bits_set_is_refused_with_a_suggestion(self):
        api_key, _ = self.issue()
        answer = self.send(api_key, "edit", allowed_ips="192.0.2.7/24")
        self.assertContains(answer, "has bits beside the network")
        self.assertContains(answer, "192.0.2.0/24")

    def test_edit_with_several_wrong_fields_is_refused_with_each_beside_its_field(self):
        api_key, _ = self.issue()
        wrong = {"allowed_ips": "192.0.2.7/24, nowhere", "expires_at_0": "2001-01-01"}
        answer = self.send(api_key, "edit", **wrong)
        errors = answer.context["form"].errors
        self.assertEqual(list(errors), ["allowed_ips", "expires_at"])
        self.assertEqual(len([e for e in errors["allowed_ips"] if "holds" in e]), 2)
        self.assertEqual(self.actions(api_key), ["issued"])


class CascadeTests(OneKeyTestCase):
    def test_revoke_page_announces_the_cascade_and_does_it_only_if_chosen(self):
        root, client = self.issue()
        child = self.made_with(client)
        grandchild = self.made_with(child)
        other, _ = self.issue(name="Other")
        client.send(f"/v1/keys/{other.id}/rotate", {})
        url = page_of(KEYS, root.id, "revoke")
        said = "2 keys and 1 secret"
        self.assertContains(self.browser.get(url), said)
        self.assertEqual(would_revoke(root), Cascade(2, 1))

        self.browser.post(url, {"category": "replaced"})
        self.assertEqual(grandchild.get("/v1/auth/me").status_code, 200)

        self.assertIn("Revoke what it made", self.page(root))
        answer = self.send(root, "revoke-made", category="leaked", reason="seen on a forum")
        self.assertContains(answer, said)
        self.assertRefused(grandchild.get("/v1/auth/me"), 401, "api_key_invalid")
        self.assertEqual(would_revoke(root), Cascade(0, 0))

    def test_revoke_with_cascade_revokes_all_descendants_for_the_same_reason(self):
        root, client = self.issue()
        child = self.made_with(client)
        self.send(root, "revoke", category="leaked", reason="", cascade="on")
        self.assertRefused(child.get("/v1/auth/me"), 401, "api_key_invalid")
        reasons = AuditEvent.objects.filter(action="api_key.revoked").values_list("reason")
        self.assertEqual(set(reasons), {("leaked",)})

    def test_revoke_page_of_a_key_that_made_nothing_offers_no_cascade(self):
        api_key, _ = self.issue()
        page = self.browser.get(page_of(KEYS, api_key.id, "revoke"))
        self.assertNotContains(page, 'name="cascade"')


class RightTests(OneKeyTestCase):
    def test_verb_needs_its_own_permission_for_its_form_and_its_button(self):
        rotating, _ = self.issue(name="Rotating")
        rotate(rotating, actor=Actor.cli(), overlap=timedelta(hours=1))
        needed = {
            "rotate": "rotate_apikey",
            "finish-rotation": "rotate_apikey",
            "narrow": "narrow_apikey",
            "edit": "narrow_apikey",
            "revoke": "revoke_apikey",
        }
        for codename in sorted(set(needed.values())):
            browser = self.colleague("view_apikey", codename)
            page = browser.get(page_of(KEYS, rotating.id)).content.decode()
            for verb, permission in needed.items():
                url = page_of(KEYS, rotating.id, verb)
                with self.subTest(f"{codename}: {verb}"):
                    may = permission == codename
                    self.assertEqual(url in page, may)
                    self.assertEqual(browser.get(url).status_code, 200 if may else 403)
                    if not may:
                        self.assertEqual(browser.post(url, {}).status_code, 403)
            User.objects.filter(username__startswith="user-").delete()

    def test_verb_page_changes_nothing_by_get_or_put_and_cannot_be_framed(self):
        api_key, _ = self.issue()
        for verb in ("rotate", "narrow", "edit", "revoke", "change"):
            answer = self.browser.get(
                page_of(KEYS, api_key.id, verb), {"category": "leaked", "overlap": "0"}
            )
            self.assertEqual(answer["X-Frame-Options"], "DENY")
            self.assertIn("frame-ancestors 'none'", answer["Content-Security-Policy"])
            self.assertEqual(
                self.browser.put(page_of(KEYS, api_key.id, verb)).status_code,
                403 if verb == "change" else 405,
            )
        self.assertEqual(AuditEvent.objects.exclude(action__endswith=".created").count(), 1)
