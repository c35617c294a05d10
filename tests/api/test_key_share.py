"""A key's own monthly share of the plan's tests, so that one runaway key cannot eat the month."""

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
        """Check what the answer shows of a key and what is stored; return the key's id."""
        self.assertLess(response.status_code, 300, response.content)
        key_id: str = response.json()["id"]
        self.assertEqual(response.json()["max_tests_per_month"], share)
        shown = self.manager.get(f"/v1/keys/{key_id}").json()
        self.assertEqual(shown["max_tests_per_month"], share)
        self.assertEqual(ApiKey.objects.get(pk=key_id).max_tests_per_month, share)
        return key_id


class TermsTests(KeyShareTestCase):
    def test_is_a_number_or_null_or_nothing_said(self):
        self.assertShare(self.make(), None)
        self.assertShare(self.make(max_tests_per_month=None), None)
        for share in (0, 1, 250, LARGEST):
            self.assertShare(self.make(max_tests_per_month=share), share)

    def test_can_be_changed_to_any_of_them_and_is_kept_where_nothing_is_said(self):
        key_id = self.assertShare(self.make(max_tests_per_month=5), 5)
        self.assertShare(self.manager.change(f"/v1/keys/{key_id}", {"name": "y"}), 5)
        for share in (7, 0, None, 5):
            self.assertShare(self.change(key_id, share), share)
        (event,) = AuditEvent.objects.filter(
            changes__max_tests_per_month=[None, 5], target_id=key_id, action="api_key.changed"
        )
        self.assertEqual(event.changes, {"max_tests_per_month": [None, 5]})

    def test_is_a_whole_number_within_bounds(self):
        key_id = self.make().json()["id"]
        wrong: list[object] = [-1, LARGEST + 1, 1.5, 5.0, "5", True, [], {}, 10**30]
        for share in wrong:
            with self.subTest(share):
                for refused in (self.make(max_tests_per_month=share), self.change(key_id, share)):
                    self.assertRefused(
                        refused, 400, "parameter_invalid", field="max_tests_per_month"
                    )

    def test_takes_a_key_that_manages_keys(self):
        restricted_key, restricted = self.issue(scopes=["tests:read"], max_tests_per_month=5)
        refused = self.change(restricted_key.id, 6, restricted)
        self.assertRefused(refused, 403, "insufficient_scope")


class CeilingTests(KeyShareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.maker_key, self.maker = self.issue(max_tests_per_month=10)

    def test_a_key_gives_no_larger_share_than_its_own(self):
        self.assertShare(self.make(self.maker, max_tests_per_month=10), 10)
        self.assertShare(self.make(self.maker, max_tests_per_month=0), 0)
        for share in (11, None):
            refused = self.make(self.maker, max_tests_per_month=share)
            error = self.assertRefused(refused, 403, "exceeds_caller", field="max_tests_per_month")
            self.assertIn("10", error["message"])

    def test_a_key_passes_its_own_on_where_nothing_is_said(self):
        self.assertShare(self.make(self.maker), 10)
        self.assertShare(self.make(self.manager), None)

    def test_holds_what_the_maker_has_at_the_moment_of_writing(self):
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

    def test_a_share_that_is_used_up_is_said_and_costs_the_organization_nothing(self):
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

    def test_a_share_of_nothing_grants_nothing(self):
        self.assertFull(self.issue(max_tests_per_month=0)[1], limit=0, used=0)

    def test_the_organizations_limit_holds_under_every_share(self):
        client = self.issue(max_tests_per_month=100)[1]
        self.agree(tests_limit=1)
        self.assertEqual(self.run_test(client).status_code, 201)
        error = self.assertFull(client, limit=1, used=1)
        self.assertIn("your plan", error["message"])

    def test_a_share_holds_where_the_plan_has_no_limit(self):
        self.agree(plan=Plan.objects.get(slug="enterprise"))
        client = self.issue(max_tests_per_month=1)[1]
        self.assertEqual(self.run_test(client).status_code, 201)
        self.assertFull(client, limit=1, used=1)

    def test_what_a_key_used_before_it_got_a_share_counts_against_it(self):
        api_key, client = self.issue()
        for _ in range(2):
            self.run_test(client)
        self.change(api_key.id, 2)
        self.assertFull(client, limit=2, used=2)
        self.change(api_key.id, 3)
        self.assertEqual(self.run_test(client).status_code, 201)

    def test_a_share_is_the_keys_whichever_secret_is_presented(self):
        api_key, client = self.issue(max_tests_per_month=2)
        self.run_test(client)
        new = ApiClient(self.manager.send(f"/v1/keys/{api_key.id}/rotate", {}).json()["key"])
        self.assertEqual(self.run_test(new).status_code, 201)
        self.assertFull(client)
        self.assertFull(new)

    def test_a_share_starts_anew_with_the_month_even_where_the_plans_tests_do_not(self):
        self.agree(plan=Plan.objects.get(slug="free"))
        client = self.issue(max_tests_per_month=1)[1]
        self.assertEqual(self.run_test(client).status_code, 201)
        self.assertFull(client, limit=1, resets_at="2026-04-01T00:00:00Z")
        self.clock.move_to(APRIL)
        self.assertEqual(self.run_test(client).status_code, 201)
        self.assertUsed(2)

    def test_the_sandbox_is_not_held_to_it(self):
        client = self.issue(livemode=False, max_tests_per_month=1)[1]
        for _ in range(3):
            self.assertEqual(self.run_test(client).status_code, 201)
