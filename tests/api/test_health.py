"""Tests of /healthz (the process is up) and /readyz (it may be sent requests)."""

from datetime import timedelta
from unittest import mock

import time_machine
from django.db import OperationalError, connection
from django.test import Client, TestCase, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from staff.login import factors
from staff.models import SecondFactor, User

TOKEN = "a-token-of-the-tests"


class HealthTests(TestCase):
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
