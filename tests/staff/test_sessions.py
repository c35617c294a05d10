"""Tests of staff sessions: their end by time and by loss of rights, with nothing half done."""

from datetime import timedelta
from unittest import mock

import time_machine
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEvent
from staff.models import User
from tests.support.cast import ApiTestCase
from tests.support.staff import log_in, member_of

HOME, LOG_IN = "/admin/", "/admin/login/"
EIGHT_HOURS, HALF_AN_HOUR = timedelta(hours=8), timedelta(minutes=30)


class SessionTestCase(ApiTestCase):
    def setUp(self) -> None:
        travel = time_machine.travel(timezone.now(), tick=False)
        self.clock = travel.start()
        self.addCleanup(travel.stop)
        self.browser = self.staff()

    def assertInside(self, browser: Client | None = None) -> None:
        self.assertEqual((browser or self.browser).get(HOME).status_code, 200)

    def assertLoggedOut(self, why: str = "", browser: Client | None = None) -> None:
        browser = browser or self.browser
        response = browser.get(HOME)
        self.assertEqual(response.status_code, 302)
        self.assertEqual(response["Location"], f"{LOG_IN}?next={HOME}")
        self.assertContains(browser.get(LOG_IN), why)


class TimeTests(SessionTestCase):
    def test_session_ends_after_half_an_hour_without_a_click(self):
        self.clock.shift(HALF_AN_HOUR - timedelta(seconds=1))
        self.assertInside()
        self.clock.shift(HALF_AN_HOUR - timedelta(seconds=1))
        self.assertInside()
        self.clock.shift(HALF_AN_HOUR)
        self.assertLoggedOut("half an hour without a click")

    def test_session_ends_after_eight_hours_despite_clicks(self):
        for _ in range(8 * 3 - 1):
            self.clock.shift(timedelta(minutes=20))
            self.assertInside()
        self.clock.shift(timedelta(minutes=20))
        self.assertLoggedOut("eight hours")

    def test_session_begun_by_a_fast_clock_lasts_no_longer(self):
        with time_machine.travel(timezone.now() + timedelta(hours=5), tick=False):
            log_in(self.browser, self.sam)
        self.browser.get(HOME)
        self.clock.shift(HALF_AN_HOUR)
        self.assertLoggedOut("half an hour without a click")

    def test_ended_sessions_row_is_deleted_and_its_cookie_is_refused(self):
        self.assertEqual(Session.objects.count(), 1)
        self.clock.shift(HALF_AN_HOUR)
        self.assertLoggedOut()
        self.assertFalse(Session.objects.exists())

    def test_form_sent_after_the_sessions_end_does_nothing(self):
        api_key, client = self.issue()
        url = f"/admin/apikeys/apikey/{api_key.pk.replace('_', '_5F')}/revoke/"
        self.clock.shift(HALF_AN_HOUR)
        response = self.browser.post(url, {"reason": "leaked"})
        self.assertIn(LOG_IN, response["Location"])
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_session_is_written_once_a_minute_at_most(self):
        def writes() -> int:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                self.assertInside()
            return sum('UPDATE "django_session"' in query["sql"] for query in queries)

        self.assertEqual([writes(), writes()], [0, 0])
        self.clock.shift(timedelta(minutes=1))
        self.assertEqual([writes(), writes()], [1, 0])

    def test_session_without_times_has_ended(self):
        session = self.browser.session
        del session["began_at"]
        session.save()
        self.assertLoggedOut()

    def test_log_in_after_the_sessions_end_returns_to_the_page(self):
        self.clock.shift(HALF_AN_HOUR)
        page = self.browser.get("/admin/apikeys/apikey/")["Location"]
        form = {"username": "sam", "password": "correct horse", "next": "/admin/apikeys/apikey/"}
        self.assertRedirects(self.browser.post(page, form), "/admin/apikeys/apikey/")

    def test_clearsessions_deletes_ended_sessions_only(self):
        self.clock.shift(EIGHT_HOURS + timedelta(seconds=1))
        young = self.staff()
        call_command("clearsessions")
        self.assertEqual(Session.objects.count(), 1)
        self.assertInside(young)

    def test_session_digest_from_the_table_neither_finds_nor_deletes_the_session(self):
        session = self.browser.session
        key, digest = str(session.session_key), Session.objects.get().pk
        self.assertEqual((session.exists(key), session.exists(digest)), (True, False))
        session.delete(digest)
        self.assertInside()
        session.delete(key)
        self.assertLoggedOut()


class LostRightsTests(SessionTestCase):
    def test_session_ends_with_the_next_click_if_the_account_is_disabled_or_no_staff(self):
        for field in ("is_active", "is_staff"):
            with self.subTest(field):
                browser = self.staff()
                self.assertInside(browser)
                User.objects.filter(pk=self.sam.pk).update(**{field: False})
                self.assertLoggedOut(browser=browser)
                User.objects.filter(pk=self.sam.pk).update(**{field: True})

    def test_saving_a_logged_out_session_does_not_restore_it(self):
        session = self.browser.session
        session["seen_at"] += 1
        Session.objects.all().delete()
        with self.assertRaises(UpdateError):
            session.save()
        self.assertLoggedOut()

    def test_password_change_ends_the_other_sessions_only(self):
        other = self.staff()
        form = {
            "old_password": "correct horse",
            "new_password1": "a new horse every day",
            "new_password2": "a new horse every day",
        }
        self.assertEqual(self.browser.post("/admin/password_change/", form).status_code, 302)
        self.assertInside()
        self.assertLoggedOut(browser=other)
        event = AuditEvent.objects.get(action="staff.password_changed")
        self.assertEqual((event.actor_label, event.target_id), ("sam", str(self.sam.pk)))

    def test_refused_password_change_ends_no_session_and_is_no_event(self):
        form = {"old_password": "wrong", "new_password1": "x", "new_password2": "x"}
        self.assertEqual(self.browser.post("/admin/password_change/", form).status_code, 200)
        self.assertInside()
        self.assertFalse(AuditEvent.objects.filter(action="staff.password_changed").exists())

    def test_right_removed_while_a_form_was_open_is_refused(self):
        manager = member_of("Key managers")
        browser = Client()
        log_in(browser, manager)
        api_key, client = self.issue()
        url = f"/admin/apikeys/apikey/{api_key.pk.replace('_', '_5F')}/revoke/"
        self.assertEqual(browser.get(url).status_code, 200)
        manager.groups.clear()
        self.assertEqual(browser.post(url, {"reason": "leaked"}).status_code, 403)
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)


class ApiTests(ApiTestCase):
    def test_api_request_reads_no_session_even_with_its_cookie(self):
        browser = self.staff()
        _, client = self.issue()
        client.cookies = browser.cookies
        client.get("/v1/auth/me")
        with (
            mock.patch("staff.login.sessions.end_of") as looked,
            CaptureQueriesContext(connection) as queries,
        ):
            self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        looked.assert_not_called()
        self.assertNotIn("session", str(queries.captured_queries))
