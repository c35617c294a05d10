"""/healthz says that the process is up, /readyz whether it may be sent requests."""

from unittest import mock

from django.db import OperationalError, connection
from django.test import Client, TestCase


class HealthTests(TestCase):
    def test_both_need_no_key_and_are_not_cached(self):
        for path in ("/healthz", "/readyz"):
            response = Client().get(path)
            self.assertEqual((response.status_code, response.json()), (200, {"status": "ok"}))
            self.assertIn("no-store", response["Cache-Control"])

    def test_without_a_database_the_process_is_up_but_not_ready(self):
        with mock.patch.object(connection, "cursor", side_effect=OperationalError("gone")):
            self.assertEqual(Client().get("/healthz").status_code, 200)
            response = Client().get("/readyz")
        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json()["problems"], ["The database does not answer."])

    def test_an_unapplied_migration_makes_it_unready(self):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '0003_search'")
        response = Client().get("/readyz")
        self.assertEqual(response.status_code, 503)
        self.assertIn("1 migration is not applied", response.json()["problems"][0])

    def test_only_reading_is_allowed(self):
        for path in ("/healthz", "/readyz"):
            response = Client(enforce_csrf_checks=True).post(path)
            self.assertEqual(response.status_code, 405)
