"""Tests of /healthz (the process is up) and /readyz (it may be sent requests)."""

import re
from datetime import datetime, timedelta
from unittest import mock

import time_machine
from django.db import OperationalError, connection
from django.test import Client, TestCase, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import Organization, Plan
from audit.actor import Actor
from audit.models import OutboxRow
from notices.models import Delivery, Lane, LaneName, LeakReport
from staff.login import factors
from staff.models import SecondFactor, User
from tests.support.notices import add_contact

TOKEN = "a-token-of-the-tests"


class HealthTests(TestCase):
    def setUp(self) -> None:
        for name in LaneName:
            Lane.beat(name)

    def test_probes_need_no_key_and_are_not_cached(self):
        ok = {"status": "ok"}
        for path, body in (("/healthz", ok), ("/readyz", {**ok, "warnings": []})):
            response = Client().get(path)
            self.assertEqual((response.status_code, response.json()), (200, body))
            self.assertIn("no-store", response["Cache-Control"])

    def test_lost_database_fails_readyz_and_not_healthz(self):
        with mock.patch.object(connection, "cursor", side_effect=OperationalError("gone")):
            self.assertEqual(Client().get("/healthz").status_code, 200)
            response = Client().get("/readyz")
        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json()["problems"], ["The database does not answer."])

    def test_unapplied_migration_fails_readyz(self):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '0002_search'")
        response = Client().get("/readyz")
        self.assertEqual(response.status_code, 503)
        self.assertIn("1 migration is not applied", response.json()["problems"][0])

    def test_clock_30_s_off_fails_readyz(self):
        now = timezone.now()
        for seconds, status in ((-40, 503), (-20, 200), (25, 200), (39, 503)):
            with time_machine.travel(now + timedelta(seconds=seconds), tick=False):
                response = Client().get("/readyz")
            self.assertEqual(response.status_code, status, seconds)
        (problem,) = response.json()["problems"]
        self.assertRegex(problem, r"\AThis process's clock is \+3\d s from the database's\.\Z")

    def test_second_factor_under_a_missing_key_fails_readyz_and_verifies_no_code(self):
        sam = User.objects.create_user("sam", is_staff=True)
        SecondFactor.objects.create(user=sam, key="03e7ab")
        response = Client().get("/readyz")
        self.assertEqual(response.status_code, 503)
        (problem,) = response.json()["problems"]
        self.assertIn("ENCRYPTION_KEYS", problem)
        self.assertIs(factors.verify(sam, "123456"), False)

    def test_request_log_of_a_failing_readyz_names_the_problem(self):
        gone = OperationalError("gone")
        no_cursor = mock.patch.object(connection, "cursor", side_effect=gone)
        with no_cursor, self.assertLogs("reachscore.request") as logs:
            Client().get("/readyz")
        fields = logs.records[-1].__dict__["fields"]
        self.assertEqual(fields["problems"], ["The database does not answer."])
        self.assertEqual(fields["fault"], "OperationalError, no SQLSTATE")

    @override_settings(METRICS_TOKEN=TOKEN)
    def test_warning_keeps_readyz_ok_and_is_exported_as_a_metric(self):
        for count in (2, 0):
            found = [("commits_waiting", count, "Commits wait.")]
            with mock.patch("reachscore.health._warnings", return_value=found):
                response = Client().get("/readyz")
            shown = ["Commits wait."] if count else []
            self.assertEqual(response.json(), {"status": "ok", "warnings": shown})
            self.assertEqual(response.status_code, 200)
            text = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content
            families = text_string_to_metric_families(text.decode())
            (family,) = [f for f in families if f.name == "reachscore_warnings"]
            values = {sample.labels["kind"]: sample.value for sample in family.samples}
            self.assertEqual(values["commits_waiting"], count)

    def test_readyz_warns_if_production_has_no_proxy_setting(self):
        told = "Neither GATEWAY_TOKEN nor TRUSTED_PROXY_COUNT"
        for said, warned in (
            ({}, True),
            ({"TRUSTED_PROXY_COUNT": 1}, False),
            ({"GATEWAY_TOKENS": (b"x" * 32,)}, False),
        ):
            with self.subTest(said), override_settings(PRODUCTION=True, **said):
                warnings = Client().get("/readyz").json()["warnings"]
                self.assertEqual(any(told in warning for warning in warnings), warned)

    @override_settings(METRICS_TOKEN=TOKEN)
    def test_readyz_warns_of_an_old_snapshot_and_exports_its_age(self):
        with mock.patch("reachscore.health.OLDEST_SNAPSHOT_TRANSACTIONS", -1):
            response = Client().get("/readyz")
        self.assertEqual(response.status_code, 200)
        self.assertRegex(response.json()["warnings"][0], r"\AA snapshot is \d+ transactions old")
        metrics = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        self.assertRegex(metrics.content, rb"\nreachscore_oldest_snapshot_transactions \d")
        self.assertRegex(metrics.content, rb'\nreachscore_warnings{kind="snapshot_old"} 1')

    @override_settings(METRICS_TOKEN=TOKEN)
    def test_readyz_warns_if_no_deliverer_was_seen_for_a_minute(self):
        now = timezone.now()
        for seconds, unseen in ((59, []), (61, ["mails"]), (None, ["mails"])):
            mails = Lane.objects.filter(pk=LaneName.MAILS)
            if seconds is None:
                mails.delete()
            else:
                mails.update(seen_at=now - timedelta(seconds=seconds))
            with self.subTest(seconds), time_machine.travel(now, tick=False):
                response = Client().get("/readyz")
                self.assertEqual(response.status_code, 200)
                told = "manage.py deliver was not seen for a minute: mails wait."
                self.assertEqual(response.json()["warnings"], [told] if unseen else [])
                metrics = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
                value = f'\nreachscore_warnings{{kind="deliver_missing"}} {len(unseen)}.0\n'
                self.assertIn(value, metrics.content.decode())

    @override_settings(METRICS_TOKEN=TOKEN)
    def test_metrics_say_what_waits_for_delivery_since_when_and_what_has_ended(self):
        now = timezone.now()

        def ago(seconds: int) -> datetime:
            return now - timedelta(seconds=seconds)

        acme = Organization(name="Acme", plan=Plan.objects.get(slug="team"))
        acme.create(actor=Actor.cli())
        contact = add_contact(acme)
        LeakReport.objects.create(digests=[], is_small=True, created_at=ago(5))
        OutboxRow.objects.create(organization_id=acme.pk, type="x", target_type="x", target_id="x")
        for at_once, since, due, tries in (
            (True, 40, 40, 0),
            (True, 90, -60, 1),  # Tried, and waits to be tried again.
            (True, 99, -60, 0),  # Not due yet.
            (False, 70_000, 50, 0),
            (False, 80_000, -50, 0),
        ):
            Delivery.objects.create(
                organization=acme,
                contact=contact,
                type="x",
                is_at_once=at_once,
                created_at=ago(since),
                due_at=ago(due),
                tries=tries,
            )
        Delivery.objects.create(
            organization=acme, contact=contact, is_at_once=True, due_at=now, delivered_at=now
        )
        Lane.objects.filter(pk=LaneName.MAILS).update(delivered=7, failed=2)
        with time_machine.travel(now, tick=False):
            Client().get("/readyz")
        metrics = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        found = re.findall(r"\nreachscore_deliver_(.*)", metrics.content.decode())
        self.assertEqual(
            found,
            [
                'waiting{lane="reports"} 1.0',
                'waiting{lane="mails"} 4.0',
                'oldest_seconds{lane="reports"} 5.0',
                'oldest_seconds{lane="mails"} 90.0',
                'ended{result="delivered"} 7.0',
                'ended{result="failed"} 2.0',
            ],
        )

    def test_probes_refuse_post(self):
        for path in ("/healthz", "/readyz"):
            response = Client(enforce_csrf_checks=True).post(path)
            self.assertEqual(response.status_code, 405)

    def test_readyz_warns_of_a_differing_session_setting(self):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL datestyle = 'German'")
            cursor.execute("SET LOCAL client_min_messages = 'error'")
        response = Client().get("/readyz")
        self.assertEqual(response.status_code, 200)
        (warning,) = response.json()["warnings"]
        self.assertIn("DateStyle ISO, MDY, client_min_messages notice.", warning)
