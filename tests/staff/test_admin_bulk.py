"""Tests of bulk actions: a dry run first, then one line per key, idempotent."""

from datetime import timedelta
from html import unescape
from typing import Any
from unittest import mock

from django.contrib.admin.models import LogEntry
from django.db import OperationalError
from django.utils import timezone

from apikeys.authentication.scope_use import note_exercised
from apikeys.models import ApiKey, ScopeGrant
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from tests.staff.test_admin import KEYS, ORGANIZATIONS, AdminTestCase, page_of
from tests.support.cast import Answer

REVOKE, NARROW = f"{KEYS}bulk/revoke/", f"{KEYS}bulk/narrow/"


class BulkTestCase(AdminTestCase):
    def select(self, action: str, *keys: ApiKey, across: bool = False, query: str = "") -> Answer:
        """Choose an action of the list, as its checkboxes do."""
        chosen = {
            "action": action,
            "_selected_action": [api_key.pk for api_key in keys],
            "select_across": "1" if across else "0",
            "index": "0",
        }
        return self.browser.post(f"{KEYS}?{query}", chosen)

    def listed(self, dry_run: Answer) -> dict[str, str]:
        """Return the fields that the dry run's form would send."""
        return {"keys": dry_run.context["ids"]}

    def carry_out(self, url: str, fields: dict[str, str]) -> str:
        response: Answer = self.browser.post(url, fields)
        self.assertTrue(response.streaming)
        return unescape(b"".join(response.streaming_content).decode())

    def half_used(self, name: str, **fields: object) -> ApiKey:
        """Issue a key that has held its scopes for long and exercised one of them."""
        given = {"scopes": ["tests:read", "tests:write"], **fields}
        api_key, _ = self.issue(name=name, **given)
        long_ago = timezone.now() - timedelta(days=100)
        ScopeGrant.objects.filter(api_key=api_key).update(granted_at=long_ago)
        note_exercised(api_key.pk, ["tests:read"], day=timezone.now().date())
        return api_key


class RevokeManyTests(BulkTestCase):
    def test_form_opened_from_an_organization_leads_back_to_it(self):
        self.issue()
        query, page = f"?organization={self.acme.pk}", page_of(ORGANIZATIONS, self.acme.pk)
        for url in (REVOKE, f"{KEYS}add/"):
            self.assertContains(self.browser.get(url + query), f'<a href="{page}">Back')
        nothing_to_do = self.browser.get(NARROW + query)
        self.assertRedirects(nothing_to_do, page, fetch_redirect_response=False)

    def test_bulk_revoke_lists_and_counts_first_then_revokes_each_with_one_event(self):
        keys = [self.issue(name=f"Key {n}")[0] for n in range(3)]
        client = self.issue(name="Spared")[1]
        revoke(keys[2], actor=Actor.cli())

        dry = self.select("revoke_selected", *keys)

        self.assertNotContains(dry, "By organization")
        self.assertContains(dry, "2 keys of 1 organization would be revoked")
        self.assertContains(dry, "1 of those you selected stays as it is: revoked already")
        self.assertEqual(ApiKey.objects.filter(revoked_at=None).count(), 3)

        why = {"category": "unused", "reason": "spring cleaning"}
        page = self.carry_out(REVOKE, {**self.listed(dry), **why})

        self.assertIn("2 of 2 keys revoked", page)
        self.assertIn(f"1 of 2: {keys[1]} revoked", page)
        events = AuditEvent.objects.filter(action="api_key.revoked", actor_label="sam")
        self.assertEqual({event.reason for event in events}, {"unused: spring cleaning"})
        self.assertEqual({event.target_id for event in events}, {keys[0].pk, keys[1].pk})
        self.assertEqual(LogEntry.objects.count(), 2)
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_bulk_revoke_events_name_their_request(self):
        dry = self.select("revoke_selected", self.issue()[0])
        response: Answer = self.browser.post(REVOKE, {**self.listed(dry), "category": "left"})
        list(response.streaming_content)
        event = AuditEvent.objects.get(action="api_key.revoked")
        self.assertEqual((event.request_id, event.ip), (response["Request-Id"], "127.0.0.1"))

    def test_bulk_revoke_sent_again_changes_nothing(self):
        dry = self.select("revoke_selected", self.issue()[0])
        form = {**self.listed(dry), "category": "left"}
        self.carry_out(REVOKE, form)
        again = self.carry_out(REVOKE, form)
        self.assertIn("0 of 1 keys revoked", again)
        self.assertIn("was revoked already", again)
        self.assertEqual(AuditEvent.objects.filter(action="api_key.revoked").count(), 1)

    def test_bulk_revoke_of_all_pages_revokes_only_what_the_dry_run_listed(self):
        self.issue(name="Old import")
        self.issue(name="Other")
        dry = self.select(
            "revoke_selected", ApiKey.objects.earliest("name"), across=True, query="q=import"
        )
        self.issue(name="New import")
        self.carry_out(REVOKE, {**self.listed(dry), "category": "left"})
        gone = ApiKey.objects.exclude(revoked_at=None).values_list("name", flat=True)
        self.assertEqual(list(gone), ["Old import"])

    def test_bulk_dry_run_counts_keys_by_organization_most_first(self):
        keys = [self.issue(organization=self.globex)[0], *(self.issue()[0] for _ in range(2))]
        page = self.select("revoke_selected", *keys).content.decode()
        ours = page.index(f"<bdi>{self.acme.name}</bdi>: 2 keys")
        self.assertGreater(page.index(f"<bdi>{self.globex.name}</bdi>: 1 key<"), ours)

    def test_key_list_says_how_many_keys_are_on_all_pages(self):
        for _ in range(3):
            self.issue()
        with mock.patch("staff.keys.keys.ApiKeyAdmin.list_per_page", 2):
            for most, found in ((3, "3"), (2, "2+")):
                with mock.patch("staff.kit.lists.MOST_COUNTED", most):
                    page = self.browser.get(KEYS)
                self.assertContains(page, f"Select all pages: {found} API keys")

    def test_bulk_revoke_takes_all_keys_of_an_organization(self):
        self.issue()
        self.issue(livemode=False)
        theirs, _ = self.issue(organization=self.globex)
        dry = self.browser.get(REVOKE, {"organization": self.acme.id})
        self.assertContains(dry, "Revoke 2 keys")
        self.carry_out(REVOKE, {**self.listed(dry), "category": "left"})
        self.assertEqual(list(ApiKey.objects.filter(revoked_at=None)), [theirs])
        again = self.browser.get(REVOKE, {"organization": self.acme.id}, follow=True)
        self.assertContains(again, "nothing to do to these keys")

    def test_bulk_revoke_with_one_failure_does_the_others_and_says_so(self):
        keys = [self.issue(name=f"Key {n}")[0] for n in range(3)]
        dry = self.select("revoke_selected", *keys)
        calls = []

        def flaky(api_key: ApiKey, **fields: Any) -> bool:
            calls.append(api_key)
            if len(calls) == 2:
                raise OperationalError("lock timeout")
            return revoke(api_key, **fields)

        form = {**self.listed(dry), "category": "left"}
        with mock.patch("staff.keys.bulk.revoke", flaky):
            page = self.carry_out(REVOKE, form)
        self.assertIn("2 of 3: stopped here", page)
        self.assertIn("1 of 3 keys revoked", page)
        self.assertEqual(ApiKey.objects.filter(revoked_at=None).count(), 2)
        self.assertIn("2 of 3 keys revoked", self.carry_out(REVOKE, form))

    def test_bulk_revoke_needs_a_reason_and_the_keys_of_a_dry_run(self):
        api_key, client = self.issue()
        for form in (
            {"keys": api_key.pk},
            {"keys": api_key.pk, "category": "other"},
            {"keys": "", "category": "left"},
            {"keys": "key_", "category": "left"},
            {"keys": f"{api_key.pk} org_nothing00000", "category": "left"},
            {"keys": " ".join([api_key.pk] * 5001), "category": "left"},
            {"category": "left"},
        ):
            self.assertFalse(self.browser.post(REVOKE, form).streaming)
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        page = self.carry_out(REVOKE, {"keys": "key_nothing00000", "category": "left"})
        self.assertIn("is no key", page)

    def test_bulk_action_on_too_many_keys_is_refused_before_the_dry_run(self):
        keys = [self.issue()[0] for _ in range(3)]
        with mock.patch("staff.keys.bulk.MOST_AT_ONCE", 2):
            answer = self.select("revoke_selected", *keys)
        self.assertEqual(answer["Location"], KEYS)


class NarrowManyTests(BulkTestCase):
    def test_bulk_narrow_removes_the_unused_scopes_of_each_key(self):
        key = self.half_used("Half")
        dry = self.select("narrow_selected", key)
        self.assertContains(dry, "loses tests:write; keeps tests:read")
        page = self.carry_out(NARROW, {**self.listed(dry), "reason": "fewest scopes"})
        self.assertIn("1 of 1 keys narrowed", page)
        key.refresh_from_db()
        self.assertEqual(key.scopes, ["tests:read"])
        event = AuditEvent.objects.get(action="api_key.changed")
        self.assertEqual((event.reason, event.actor_label), ("fewest scopes", "sam"))

    def test_bulk_narrow_spares_new_keys_and_keys_that_used_no_scope(self):
        unused = self.half_used("Unused")
        ScopeGrant.objects.filter(api_key=unused).update(last_exercised_on=None)
        new, _ = self.issue(scopes=["tests:read", "tests:write"])
        dry = self.select("narrow_selected", unused, new, self.half_used("Half"))
        self.assertContains(dry, "2 of those you selected stay as they are")
        self.assertContains(dry, "Of a key that used none at all, none is taken")
        self.carry_out(NARROW, {**self.listed(dry), "reason": "x"})
        for key in (unused, new):
            key.refresh_from_db()
            self.assertEqual(len(key.scopes), 2)

    def test_bulk_narrow_leaves_managing_keys_out_unless_chosen(self):
        manager = self.half_used("Manager", scopes=list(ALL_SCOPES))
        dry = self.select("narrow_selected", manager, self.half_used("Half"))
        self.assertContains(dry, "Managing keys, left out unless you say so")
        form = {**self.listed(dry), "reason": "fewest scopes"}
        page = self.carry_out(NARROW, form)
        self.assertIn("1 of 2 keys narrowed", page)
        self.assertIn(f"{manager} keeps all it holds", page)
        manager.refresh_from_db()
        self.assertEqual(manager.scopes, list(ALL_SCOPES))
        self.carry_out(NARROW, {**form, "include_managing": "on"})
        manager.refresh_from_db()
        self.assertEqual(manager.scopes, ["tests:read"])

    def test_bulk_narrow_keeps_a_scope_used_since_the_dry_run(self):
        key = self.half_used("Half", scopes=["tests:read", "tests:write", "domains:read"])
        dry = self.select("narrow_selected", key)
        note_exercised(key.pk, ["tests:write"], day=timezone.now().date())
        self.carry_out(NARROW, {**self.listed(dry), "reason": "x"})
        key.refresh_from_db()
        self.assertEqual(key.scopes, ["tests:read", "tests:write"])
