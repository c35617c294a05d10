"""Tests of plan quotas (meters): use within the quota is counted, use beyond it refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.db import transaction
from django.test import override_settings
from rest_framework.response import Response

from accounts.models import Meter, Organization, Plan, Usage
from apikeys import meters
from apikeys.models import KeyMonth
from apikeys.refusals import QuotaExceeded
from audit.actor import Actor
from audit.models import OutboxRow
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.notices import add_contact

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


class MeterTestCase(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.api_key, self.api = self.issue()

    def agree(self, organization: Organization | None = None, **terms: object) -> None:
        (organization or self.acme).change_plan(actor=Actor.cli(), reason="agreed", **terms)

    def consume(self, meter: Meter, n: int = 1, *, client: ApiClient | None = None) -> None:
        meters.consume(self.as_caller(client or self.api), meter, n)

    def used(self, meter: Meter, client: ApiClient | None = None) -> int:
        usage = (client or self.api).get("/v1/auth/me").json()["usage"]
        used: int = usage["tests_this_month" if meter is Meter.TESTS else "domains"]
        return used

    def assertFull(
        self, meter: Meter, n: int = 1, *, client: ApiClient | None = None
    ) -> dict[str, Any]:
        """Check that `n` more are refused and not counted; return the refusal's details."""
        before = sorted(Usage.objects.values_list()), sorted(KeyMonth.objects.values_list())
        with self.assertRaises(QuotaExceeded) as refused:
            self.consume(meter, n, client=client)
        after = sorted(Usage.objects.values_list()), sorted(KeyMonth.objects.values_list())
        self.assertEqual(before, after)
        return refused.exception.details


class ConsumeTests(MeterTestCase):
    def test_consume_counts_up_to_the_limit_and_no_further(self):
        self.agree(tests_limit=5, domains_limit=5)
        for meter, resets_at in ((Meter.TESTS, "2026-04-01T00:00:00Z"), (Meter.DOMAINS, None)):
            with self.subTest(meter):
                self.consume(meter)
                self.consume(meter, 3)
                details = self.assertFull(meter, 2)
                self.assertEqual(details, {"limit": 5, "used": 4, "resets_at": resets_at})
                self.consume(meter)
                self.assertEqual(self.assertFull(meter)["used"], 5)
                self.assertEqual(self.used(meter), 5)

    def test_consume_larger_than_the_limit_is_refused_on_first_use(self):
        self.agree(tests_limit=5, domains_limit=5)
        for meter in Meter:
            self.assertEqual(self.assertFull(meter, 6)["used"], 0)
            self.consume(meter, 5)
            self.assertEqual(self.used(meter), 5)

    def test_consume_under_a_limit_of_zero_is_refused(self):
        self.agree(tests_limit=0, domains_limit=0)
        for meter in Meter:
            details = self.assertFull(meter)
            self.assertEqual((details["limit"], details["used"]), (0, 0))

    def test_consume_without_a_limit_is_never_refused(self):
        self.agree(plan=Plan.objects.get(slug="enterprise"))
        for meter in Meter:
            self.consume(meter, 3_000_000_000)
            self.consume(meter)
            self.assertEqual(self.used(meter), 3_000_000_001)

    def test_consume_or_release_of_less_than_one_raises_value_error(self):
        caller = self.as_caller(self.api)
        for n in (0, -1):
            with self.assertRaises(ValueError):
                meters.consume(caller, Meter.TESTS, n)
            with self.assertRaises(ValueError):
                meters.release(caller, Meter.DOMAINS, n)
        self.assertEqual(Usage.objects.count(), 0)

    def test_consume_in_a_rolled_back_transaction_is_not_counted(self):
        for meter in Meter:
            with self.assertRaises(ZeroDivisionError), transaction.atomic():
                self.consume(meter, 3)
                raise ZeroDivisionError
            self.assertEqual(self.used(meter), 0)
        self.assertEqual(KeyMonth.objects.count(), 0)

    def test_consume_refusal_leaves_the_transaction_usable(self):
        self.agree(tests_limit=1)
        with transaction.atomic():
            self.consume(Meter.DOMAINS)
            self.assertFull(Meter.TESTS, 2)
            self.consume(Meter.TESTS)
        self.assertEqual((self.used(Meter.TESTS), self.used(Meter.DOMAINS)), (1, 1))

    def test_consume_does_not_count_against_another_organization(self):
        stranger = self.issue(organization=self.globex)[1]
        self.agree(domains_limit=1)
        self.consume(Meter.DOMAINS)
        self.consume(Meter.DOMAINS, client=stranger)
        self.assertFull(Meter.DOMAINS)
        self.assertFull(Meter.DOMAINS, client=stranger)

    def test_consume_in_sandbox_is_never_refused_and_counted_apart(self):
        sandbox = self.issue(livemode=False, max_tests_per_month=1)[1]
        self.agree(tests_limit=1, domains_limit=0)
        self.consume(Meter.TESTS)
        for _ in range(3):
            self.consume(Meter.TESTS, 10, client=sandbox)
            self.consume(Meter.DOMAINS, client=sandbox)
        self.assertEqual(self.used(Meter.TESTS, sandbox), 30)
        self.assertEqual(self.used(Meter.DOMAINS, sandbox), 3)
        self.assertEqual((self.used(Meter.TESTS), self.used(Meter.DOMAINS)), (1, 0))
        self.assertFull(Meter.TESTS)


class QuotaNoticeTests(MeterTestCase):
    def setUp(self) -> None:
        super().setUp()
        add_contact(self.acme)
        self.agree(tests_limit=10, domains_limit=10)
        OutboxRow.objects.all().delete()

    def told(self) -> list[str]:
        """Return the notices since the last call, as `meter percent used/limit`."""
        rows = list(OutboxRow.objects.filter(type__startswith="usage.").order_by("-type"))
        for row in rows:
            self.assertEqual((row.target_type, row.target_id), ("organization", self.acme.pk))
            row.delete()
        return ["{meter} {0} {used}/{limit}".format(row.type[12:], **row.data) for row in rows]

    def test_addition_that_crosses_80_percent_or_the_limit_writes_a_notice(self):
        for meter in Meter:
            for n, told in (
                (7, []),
                (1, ["80 8/10"]),
                (1, []),
                (1, ["100 10/10"]),
            ):
                self.consume(meter, n)
                self.assertEqual(self.told(), [f"{meter} {line}" for line in told])
            self.assertFull(meter)
            self.assertEqual(self.told(), [])

    def test_one_addition_can_cross_both(self):
        self.consume(Meter.TESTS, 10)
        self.assertEqual(self.told(), ["tests 80 10/10", "tests 100 10/10"])

    def test_next_month_is_told_anew(self):
        self.consume(Meter.TESTS, 8)
        self.clock.move_to(APRIL)
        self.consume(Meter.TESTS, 8)
        self.assertEqual(self.told(), ["tests 80 8/10"] * 2)

    def test_domains_that_cross_again_are_told_again_only_for_another_limit(self):
        me = self.as_caller(self.api)
        self.consume(Meter.DOMAINS, 9)
        meters.release(me, Meter.DOMAINS, 5)
        self.consume(Meter.DOMAINS, 5)
        self.assertEqual(OutboxRow.objects.filter(type="usage.quota_80").count(), 1)
        self.agree(domains_limit=20)
        self.consume(Meter.DOMAINS, 7)
        self.assertEqual(self.told(), ["domains 80 9/10", "domains 80 16/20"])

    def test_nothing_is_told_of_the_sandbox_without_a_limit_or_if_nobody_hears(self):
        self.consume(Meter.TESTS, 10, client=self.issue(livemode=False)[1])
        self.consume(Meter.DOMAINS, 1, client=self.issue(organization=self.globex)[1])
        with override_settings(EMAIL_FROM=""):
            self.consume(Meter.TESTS, 10)
        self.agree(plan=Plan.objects.get(slug="enterprise"), domains_limit=None)
        self.consume(Meter.DOMAINS, 1_000)
        self.assertEqual(self.told(), [])

    def test_rolled_back_crossing_is_not_told_and_the_next_one_is(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            self.consume(Meter.TESTS, 8)
            raise ZeroDivisionError
        self.assertEqual(self.told(), [])
        self.consume(Meter.TESTS, 9)
        self.assertEqual(self.told(), ["tests 80 9/10"])


class ReleaseTests(MeterTestCase):
    def test_release_of_a_domain_frees_quota(self):
        self.agree(domains_limit=2)
        self.consume(Meter.DOMAINS, 2)
        meters.release(self.as_caller(self.api), Meter.DOMAINS)
        self.assertEqual(self.used(Meter.DOMAINS), 1)
        self.consume(Meter.DOMAINS)
        self.assertFull(Meter.DOMAINS)

    def test_release_of_tests_raises_value_error(self):
        self.consume(Meter.TESTS, 2)
        for client in (self.api, self.issue(livemode=False)[1]):
            with self.assertRaisesMessage(ValueError, "cannot be released"):
                meters.release(self.as_caller(client), Meter.TESTS)
        self.assertEqual(self.used(Meter.TESTS), 2)

    def test_release_never_goes_below_zero(self):
        caller = self.as_caller(self.api)
        meters.release(caller, Meter.DOMAINS)
        self.assertEqual(self.used(Meter.DOMAINS), 0)
        self.consume(Meter.DOMAINS, 2)
        meters.release(caller, Meter.DOMAINS, 5)
        self.assertEqual(self.used(Meter.DOMAINS), 0)
        self.consume(Meter.DOMAINS)
        self.assertEqual(self.used(Meter.DOMAINS), 1)

    def test_release_in_a_rolled_back_transaction_is_undone(self):
        self.consume(Meter.DOMAINS, 2)
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            meters.release(self.as_caller(self.api), Meter.DOMAINS)
            raise ZeroDivisionError
        self.assertEqual(self.used(Meter.DOMAINS), 2)

    def test_release_does_not_affect_the_other_mode(self):
        self.consume(Meter.DOMAINS, 2)
        meters.release(self.as_caller(self.issue(livemode=False)[1]), Meter.DOMAINS)
        self.assertEqual(self.used(Meter.DOMAINS), 2)


class MeteredTests(MeterTestCase):
    """Tests of the decorator `metered` on views of tests.sibling, for each way a view can end."""

    def call(self, meter: Meter, *, status: int = 201) -> Response:
        class View:
            @meters.metered(meter)
            def post(self, request: Any) -> Response:
                """Make one."""
                Organization.objects.filter(pk=request.user.organization_id).update(name="made")
                if status == 500:
                    raise ZeroDivisionError
                return Response(status=status)

        self.assertEqual((View.post.__name__, View.post.__doc__), ("post", "Make one."))
        request = type("Request", (), {"user": self.as_caller(self.api)})
        return View().post(request)

    def made(self) -> bool:
        return Organization.objects.filter(name="made").exists()

    def test_metered_view_that_succeeds_counts_one(self):
        for meter in Meter:
            for status in (200, 201, 204):
                self.assertEqual(self.call(meter, status=status).status_code, status)
            self.assertEqual(self.used(meter), 3)

    def test_metered_view_that_fails_is_rolled_back_and_not_counted(self):
        for meter in Meter:
            for status in (400, 404, 409):
                self.assertEqual(self.call(meter, status=status).status_code, status)
            with self.assertRaises(ZeroDivisionError):
                self.call(meter, status=500)
            self.assertEqual((self.used(meter), self.made()), (0, False))

    def test_metered_view_over_quota_is_rolled_back(self):
        self.agree(tests_limit=0, domains_limit=0)
        for meter in Meter:
            with self.assertRaises(QuotaExceeded):
                self.call(meter)
            self.assertEqual((self.used(meter), self.made()), (0, False))


class TermsTests(MeterTestCase):
    def test_test_meter_resets_with_the_month_and_domains_do_not(self):
        self.agree(tests_limit=2, domains_limit=1)
        self.consume(Meter.TESTS, 2)
        self.consume(Meter.DOMAINS)
        self.clock.move_to(APRIL - timedelta(microseconds=1))
        self.assertFull(Meter.TESTS)
        self.clock.move_to(APRIL)
        self.assertFull(Meter.TESTS, 3)
        self.consume(Meter.TESTS, 2)
        self.assertEqual(self.assertFull(Meter.TESTS)["resets_at"], "2026-05-01T00:00:00Z")
        self.assertFull(Meter.DOMAINS)

    def test_test_meter_of_the_free_plan_never_resets(self):
        stranger = self.issue(organization=self.globex)[1]
        self.consume(Meter.TESTS, 25, client=stranger)
        for moment in (APRIL, datetime(2027, 6, 1, tzinfo=UTC)):
            self.clock.move_to(moment)
            details = self.assertFull(Meter.TESTS, client=stranger)
            self.assertEqual(details, {"limit": 25, "used": 25, "resets_at": None})

    def test_changed_plan_holds_for_meters_from_the_next_request_on(self):
        client = self.issue(organization=self.globex)[1]
        self.consume(Meter.TESTS, 25, client=client)
        self.assertFull(Meter.TESTS, client=client)
        self.agree(self.globex, plan=Plan.objects.get(slug="starter"))
        self.consume(Meter.TESTS, 250, client=client)
        self.assertFull(Meter.TESTS, client=client)
        self.agree(self.globex, plan=Plan.objects.get(slug="free"))
        self.assertEqual(self.assertFull(Meter.TESTS, client=client)["used"], 25)
        self.agree(self.globex, plan=Plan.objects.get(slug="enterprise"))
        self.consume(Meter.TESTS, 10_000, client=client)

    def test_lowered_limit_keeps_what_was_used_and_grants_no_more(self):
        self.consume(Meter.TESTS, 100)
        self.consume(Meter.DOMAINS, 10)
        self.agree(plan=Plan.objects.get(slug="starter"), tests_limit=50)
        self.assertEqual((self.used(Meter.TESTS), self.used(Meter.DOMAINS)), (100, 10))
        self.assertEqual(self.assertFull(Meter.TESTS)["used"], 100)
        self.assertEqual(self.assertFull(Meter.DOMAINS)["limit"], 3)
        meters.release(self.as_caller(self.api), Meter.DOMAINS, 7)
        self.assertFull(Meter.DOMAINS)
        meters.release(self.as_caller(self.api), Meter.DOMAINS)
        self.consume(Meter.DOMAINS)

    def test_overridden_limit_replaces_the_plans(self):
        self.agree(tests_limit=1500)
        self.consume(Meter.TESTS, 1500)
        self.assertEqual(self.assertFull(Meter.TESTS)["limit"], 1500)
        self.agree(tests_limit=None)
        self.assertEqual(self.assertFull(Meter.TESTS)["limit"], 1000)
