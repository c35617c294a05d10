"""Tests of what tools and libraries expect: Location, Python's booleans, merge patches, and one
spelling of a network."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEvent
from audit.seals import as_stored
from tests.support.cast import Answer, ApiClient, ApiTestCase

MERGE_PATCH = "application/merge-patch+json"


class LocationTests(ApiTestCase):
    def test_created_and_replayed_key_is_found_at_its_location(self):
        _, api = self.issue()
        for replayed in (None, "true"):
            answer = api.send("/v1/keys", {"name": "x"}, **{"Idempotency-Key": "once"})
            self.assertEqual(answer.status_code, 201)
            self.assertEqual(answer.get("Idempotent-Replayed"), replayed)
            self.assertEqual(answer["Location"], f"/v1/keys/{answer.json()['id']}")
            self.assertEqual(api.get(answer["Location"]).json()["id"], answer.json()["id"])
        for other in (api.send("/v1/keys", {}), api.send(f"{answer['Location']}/rotate", {})):
            self.assertNotIn("Location", other)


class FlagTests(ApiTestCase):
    def test_flag_in_a_query_is_taken_as_python_and_javascript_write_it(self):
        _, api = self.issue()
        for value, status in [
            *((true, 200) for true in ("true", "True", "1")),
            *((false, 200) for false in ("false", "False", "0")),
            *((other, 400) for other in ("", "TRUE", "tRue", "yes", "01", "1.0", "none", "١")),
        ]:
            with self.subTest(value):
                answer = api.get("/v1/keys", {"over_privileged": value})
                self.assertEqual(answer.status_code, status)
                if status == 200:  # No key is old enough to be over-privileged.
                    self.assertEqual(len(answer.json()["data"]), int("0fF".find(value[0]) >= 0))
                else:
                    self.assertRefused(answer, 400, "parameter_invalid", field="over_privileged")

    def test_cascade_false_as_python_writes_it_does_not_cascade(self):
        _, api = self.issue()
        for value, cascades in [("False", False), ("0", False), ("True", True), ("1", True)]:
            key, maker = self.make(api)
            child, _ = self.make(maker)
            answer = api.delete(f"/v1/keys/{key.id}?cascade={value}").json()
            self.assertEqual("cascade" in answer, cascades)
            status = "revoked" if cascades else "active"
            self.assertEqual(api.get(f"/v1/keys/{child.id}").json()["status"], status)


class MergePatchTests(ApiTestCase):
    def setUp(self) -> None:
        self.key, _ = self.issue(max_tests_per_month=5, allowed_ips=["192.0.2.7"])
        self.api = self.issue()[1]
        self.path = f"/v1/keys/{self.key.id}"

    def send(self, method: str, path: str, body: str, content_type: str) -> Answer:
        return self.api.generic(method, path, body, content_type=content_type)

    def test_merge_patch_sets_what_it_names_and_null_takes_a_limit_away(self):
        body = '{"max_tests_per_month": null, "allowed_ips": ["192.0.2.8"]}'
        for content_type in (MERGE_PATCH, f"{MERGE_PATCH}; charset=UTF-8", MERGE_PATCH.title()):
            answer = self.send("PATCH", self.path, body, content_type)
            self.assertEqual(answer.status_code, 200, answer.content)
            self.assertIsNone(answer.json()["max_tests_per_month"])
            self.assertEqual(answer.json()["allowed_ips"], ["192.0.2.8"])
            self.assertEqual(answer.json()["name"], "CI")
        # A key cannot be without these, so they cannot be taken away.
        for field in ("name", "scopes"):
            answer = self.send("PATCH", self.path, f'{{"{field}": null}}', MERGE_PATCH)
            self.assertRefused(answer, 400, "parameter_invalid", field=field)
        answer = self.send("PATCH", self.path, '[{"op": "remove"}]', MERGE_PATCH)
        self.assertRefused(answer, 400, "invalid_json")

    def test_merge_patch_is_taken_by_patch_alone_and_a_415_says_what_is(self):
        for method, path, content_type, accepted in [
            ("POST", "/v1/keys", MERGE_PATCH, None),
            ("POST", f"{self.path}/rotate", MERGE_PATCH, None),
            ("PATCH", self.path, "application/json-patch+json", f"application/json, {MERGE_PATCH}"),
            ("PATCH", self.path, "text/plain", f"application/json, {MERGE_PATCH}"),
        ]:
            with self.subTest(f"{method} {content_type}"):
                answer = self.send(method, path, '{"name": "x"}', content_type)
                self.assertRefused(answer, 415, "unsupported_media_type")
                self.assertEqual(answer.get("Accept-Patch"), accepted)


class SpellingTests(ApiTestCase):
    def test_patch_with_either_spelling_of_an_address_changes_nothing(self):
        key, _ = self.issue(allowed_ips=["192.0.2.7/32", "2001:db8::7", "::ffff:192.0.2.8"])
        api = self.issue()[1]
        shown = ["192.0.2.7", "2001:db8::7", "192.0.2.8"]
        for sent in (
            shown,
            ["192.0.2.7/32", "2001:db8::7/128", "192.0.2.8/32"],
            ["192.0.2.7", "2001:DB8:0::7", "::ffff:192.0.2.8/128"],
        ):
            with self.subTest(sent):
                with CaptureQueriesContext(connection) as queries:
                    answer = api.change(f"/v1/keys/{key.id}", {"allowed_ips": sent})
                self.assertFalse(
                    [q for q in queries if q["sql"].startswith('UPDATE "apikeys_apikey')]
                )
                self.assertEqual(answer.json()["allowed_ips"], shown)
        self.assertEqual(self.actions(key), ["issued"])

    def test_refusal_names_the_callers_addresses_without_suffix(self):
        api = ApiClient(self.issue(allowed_ips=["127.0.0.1/32", "::1/128"])[1].key)
        answer = api.send("/v1/keys", {"name": "x", "allowed_ips": ["127.0.0.2"]})
        error = self.assertRefused(answer, 403, "exceeds_caller", field="allowed_ips")
        self.assertIn("the calling key's own, 127.0.0.1, ::1.", error["message"])

    def test_event_written_with_a_suffix_is_shown_without(self):
        key, api = self.issue()
        old = AuditEvent.objects.get(target_id=key.id)
        old.pk, old.sequence, old.action = "evt_000000000000", old.sequence + 1, "api_key.changed"
        before = ["192.0.2.7/32", "192.0.2.0/24", "::1/128"]
        old.changes = as_stored({"allowed_ips": (before, None), "name": ("1.2.3.4/32", "x")})
        old.save(force_insert=True)
        event = api.get(f"/v1/keys/{key.id}/events?limit=1").json()["data"][0]
        shown = ["192.0.2.7", "192.0.2.0/24", "::1"]
        self.assertEqual(
            event["changes"], {"allowed_ips": [shown, None], "name": ["1.2.3.4/32", "x"]}
        )
        page = self.staff().get(f"/admin/audit/auditevent/{old.pk}/change/")
        self.assertContains(page, ", ".join(shown))
