"""Tests of `max_tests_per_month`, the key's share: one runaway key cannot use up the month."""

from datetime import UTC, datetime
from typing import Any

import time_machine
from django.test import override_settings

from accounts.models import Plan, Usage
from apikeys.models import ApiKey, KeyMonth
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient, ApiTestCase

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
LARGEST = 1_000_000_000


class KeyShareTestCase(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.manager = self.issue()[1]

    def make(self, client: ApiClient | None = None, **fields: object) -> Answer:
        return (client or self.manager).send("/v1/keys", {"name": "x", **fields})

    def change(self, key_id: str, share: object, client: ApiClient | None = None) -> Answer:
        body = {"max_tests_per_month": share}
        return (client or self.manager).change(f"/v1/keys/{key_id}", body)

    def assertShare(self, response: Answer, share: int | None) -> str:
        """Check the share in the answer and in the database; return the key's id."""
        self.assertLess(response.status_code, 300, response.content)
        key_id: str = response.json()["id"]
        self.assertEqual(response.json()["max_tests_per_month"], share)
        shown = self.manager.get(f"/v1/keys/{key_id}").json()
        self.assertEqual(shown["max_tests_per_month"], share)
        self.assertEqual(ApiKey.objects.get(pk=key_id).max_tests_per_month, share)
        return key_id


class TermsTests(KeyShareTestCase):
    def test_share_on_create_is_a_number_null_or_absent(self):
        self.assertShare(self.make(), None)
        self.assertShare(self.make(max_tests_per_month=None), None)
        for share in (0, 1, 250, LARGEST):
            self.assertShare(self.make(max_tests_per_month=share), share)

    def test_share_can_be_patched_and_is_kept_if_absent(self):
        key_id = self.assertShare(self.make(max_tests_per_month=5), 5)
        self.assertShare(self.manager.change(f"/v1/keys/{key_id}", {"name": "y"}), 5)
        for share in (7, 0, None, 5):
            self.assertShare(self.change(key_id, share), share)
        (event,) = AuditEvent.objects.filter(
            changes__max_tests_per_month=[None, 5], target_id=key_id, action="api_key.changed"
        )
        self.assertEqual(event.changes, {"max_tests_per_month": [None, 5]})

    def test_share_must_be_an_integer_within_bounds(self):
        key_id = self.make().json()["id"]
        wrong: list[object] = [-1, LARGEST + 1, 1.5, 5.0, "5", True, [], {}, 10**30]
        for share in wrong:
            with self.subTest(share):
                for refused in (self.make(max_tests_per_month=share), self.change(key_id, share)):
                    self.assertRefused(
                        refused, 400, "parameter_invalid", field="max_tests_per_month"
                    )

    def test_share_change_needs_a_managing_key(self):
        restricted_key, restricted = self.issue(scopes=["tests:read"], max_tests_per_month=5)
        refused = self.change(restricted_key.id, 6, restricted)
        self.assertRefused(refused, 403, "insufficient_scope")


class CeilingTests(KeyShareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.maker_key, self.maker = self.issue(max_tests_per_month=10)

    def test_key_cannot_grant_a_larger_share_than_its_own(self):
        self.assertShare(self.make(self.maker, max_tests_per_month=10), 10)
        self.assertShare(self.make(self.maker, max_tests_per_month=0), 0)
        for share in (11, None):
            refused = self.make(self.maker, max_tests_per_month=share)
            error = self.assertRefused(refused, 403, "exceeds_caller", field="max_tests_per_month")
            self.assertIn("10", error["message"])

    def test_create_without_a_share_inherits_the_callers(self):
        self.assertShare(self.make(self.maker), 10)
        self.assertShare(self.make(self.manager), None)

    def test_share_ceiling_is_the_callers_share_at_the_time_of_writing(self):
        self.assertShare(self.change(self.maker_key.id, 3), 3)
        refused = self.make(self.maker, max_tests_per_month=10)
        self.assertRefused(refused, 403, "exceeds_caller", field="max_tests_per_month")


@override_settings(ROOT_URLCONF="tests.sibling.service")
class EnforcementTests(KeyShareTestCase):
    def run_test(self, client: ApiClient) -> Answer:
        return client.send("/v1/tests", {"subject": "x"})

    def agree(self, **terms: object) -> None:
        self.acme.change_plan(actor=Actor.cli(), reason="agreed", **terms)

    def assertUsed(self, tests: int) -> None:
        used = self.manager.get("/v1/auth/me").json()["usage"]["tests_this_month"]
        self.assertEqual(used, tests)

    def assertFull(self, client: ApiClient, **details: object) -> dict[str, Any]:
        before = sorted(Usage.objects.values_list()), sorted(KeyMonth.objects.values_list())
        error = self.assertRefused(self.run_test(client), 403, "quota_exceeded")
        self.assertEqual({name: error[name] for name in details}, details)
        after = sorted(Usage.objects.values_list()), sorted(KeyMonth.objects.values_list())
        self.assertEqual(before, after)
        return error

    def test_used_up_share_is_quota_exceeded_and_uses_none_of_the_organizations_quota(self):
        client = self.issue(max_tests_per_month=2)[1]
        for _ in range(2):
            self.assertEqual(self.run_test(client).status_code, 201)
        for _ in range(3):
            error = self.assertFull(client, limit=2, used=2, resets_at="2026-04-01T00:00:00Z")
        self.assertIn("this key's own share", error["message"])
        self.assertIn("max_tests_per_month", error["fix"])
        self.assertUsed(2)
        self.assertEqual(self.run_test(self.manager).status_code, 201)
        self.assertUsed(3)

    def test_share_of_zero_allows_no_test(self):
        self.assertFull(self.issue(max_tests_per_month=0)[1], limit=0, used=0)

    def test_organization_limit_holds_below_a_larger_share(self):
        client = self.issue(max_tests_per_month=100)[1]
        self.agree(tests_limit=1)
        self.assertEqual(self.run_test(client).status_code, 201)
        error = self.assertFull(client, limit=1, used=1)
        self.assertIn("your plan", error["message"])

    def test_share_holds_on_an_unlimited_plan(self):
        self.agree(plan=Plan.objects.get(slug="enterprise"))
        client = self.issue(max_tests_per_month=1)[1]
        self.assertEqual(self.run_test(client).status_code, 201)
        self.assertFull(client, limit=1, used=1)

    def test_new_share_counts_tests_used_before_it_was_set(self):
        api_key, client = self.issue()
        for _ in range(2):
            self.run_test(client)
        self.change(api_key.id, 2)
        self.assertFull(client, limit=2, used=2)
        self.change(api_key.id, 3)
        self.assertEqual(self.run_test(client).status_code, 201)

    def test_share_is_common_to_all_secrets_of_the_key(self):
        api_key, client = self.issue(max_tests_per_month=2)
        self.run_test(client)
        new = ApiClient(self.manager.send(f"/v1/keys/{api_key.id}/rotate", {}).json()["key"])
        self.assertEqual(self.run_test(new).status_code, 201)
        self.assertFull(client)
        self.assertFull(new)

    def test_share_resets_monthly_even_if_the_plans_tests_do_not(self):
        self.agree(plan=Plan.objects.get(slug="free"))
        client = self.issue(max_tests_per_month=1)[1]
        self.assertEqual(self.run_test(client).status_code, 201)
        self.assertFull(client, limit=1, resets_at="2026-04-01T00:00:00Z")
        self.clock.move_to(APRIL)
        self.assertEqual(self.run_test(client).status_code, 201)
        self.assertUsed(2)

    def test_share_does_not_limit_the_sandbox(self):
        client = self.issue(livemode=False, max_tests_per_month=1)[1]
        for _ in range(3):
            self.assertEqual(self.run_test(client).status_code, 201)
