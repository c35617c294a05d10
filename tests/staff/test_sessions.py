"""A session of staff ends in time, and with whatever its account loses; nothing is half done."""

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
    def test_ends_after_half_an_hour_without_a_click(self):
        self.clock.shift(HALF_AN_HOUR - timedelta(seconds=1))
        self.assertInside()
        self.clock.shift(HALF_AN_HOUR - timedelta(seconds=1))
        self.assertInside()
        self.clock.shift(HALF_AN_HOUR)
        self.assertLoggedOut("half an hour without a click")

    def test_ends_after_eight_hours_however_many_clicks(self):
        for _ in range(8 * 3 - 1):
            self.clock.shift(timedelta(minutes=20))
            self.assertInside()
        self.clock.shift(timedelta(minutes=20))
        self.assertLoggedOut("eight hours")

    def test_a_session_begun_by_a_clock_that_is_ahead_lasts_no_longer(self):
        with time_machine.travel(timezone.now() + timedelta(hours=5), tick=False):
            log_in(self.browser, self.sam)
        self.browser.get(HOME)
        self.clock.shift(HALF_AN_HOUR)
        self.assertLoggedOut("half an hour without a click")

    def test_the_row_is_gone_with_it_and_the_old_cookie_worth_nothing(self):
        self.assertEqual(Session.objects.count(), 1)
        self.clock.shift(HALF_AN_HOUR)
        self.assertLoggedOut()
        self.assertFalse(Session.objects.exists())

    def test_what_was_sent_when_it_ended_is_not_done(self):
        api_key, client = self.issue()
        url = f"/admin/apikeys/apikey/{api_key.pk.replace('_', '_5F')}/revoke/"
        self.clock.shift(HALF_AN_HOUR)
        response = self.browser.post(url, {"reason": "leaked"})
        self.assertIn(LOG_IN, response["Location"])
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def test_is_written_once_a_minute_at_most(self):
        def writes() -> int:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                self.assertInside()
            return sum('UPDATE "django_session"' in query["sql"] for query in queries)

        self.assertEqual([writes(), writes()], [0, 0])
        self.clock.shift(timedelta(minutes=1))
        self.assertEqual([writes(), writes()], [1, 0])

    def test_a_session_that_knows_no_times_is_over(self):
        session = self.browser.session
        del session["began_at"]
        session.save()
        self.assertLoggedOut()

    def test_logging_in_again_after_its_end_leads_back(self):
        self.clock.shift(HALF_AN_HOUR)
        page = self.browser.get("/admin/apikeys/apikey/")["Location"]
        form = {"username": "sam", "password": "correct horse", "next": "/admin/apikeys/apikey/"}
        self.assertRedirects(self.browser.post(page, form), "/admin/apikeys/apikey/")

    def test_clearsessions_takes_those_away_that_are_over_and_no_other(self):
        self.clock.shift(EIGHT_HOURS + timedelta(seconds=1))
        young = self.staff()
        call_command("clearsessions")
        self.assertEqual(Session.objects.count(), 1)
        self.assertInside(young)

    def test_a_digest_out_of_the_table_is_no_key_to_look_for_nor_to_delete(self):
        session = self.browser.session
        key, digest = str(session.session_key), Session.objects.get().pk
        self.assertEqual((session.exists(key), session.exists(digest)), (True, False))
        session.delete(digest)
        self.assertInside()
        session.delete(key)
        self.assertLoggedOut()


class LossTests(SessionTestCase):
    def test_ends_at_the_next_click_when_the_account_is_disabled_or_no_staff_any_more(self):
        for field in ("is_active", "is_staff"):
            with self.subTest(field):
                browser = self.staff()
                self.assertInside(browser)
                User.objects.filter(pk=self.sam.pk).update(**{field: False})
                self.assertLoggedOut(browser=browser)
                User.objects.filter(pk=self.sam.pk).update(**{field: True})

    def test_what_still_writes_a_session_that_was_logged_out_does_not_bring_it_back(self):
        session = self.browser.session
        session["seen_at"] += 1
        Session.objects.all().delete()
        with self.assertRaises(UpdateError):
            session.save()
        self.assertLoggedOut()

    def test_others_end_when_the_password_is_changed_and_the_one_that_did_goes_on(self):
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

    def test_a_password_that_is_refused_ends_nothing_and_is_no_event(self):
        form = {"old_password": "wrong", "new_password1": "x", "new_password2": "x"}
        self.assertEqual(self.browser.post("/admin/password_change/", form).status_code, 200)
        self.assertInside()
        self.assertFalse(AuditEvent.objects.filter(action="staff.password_changed").exists())

    def test_a_right_that_was_taken_away_is_refused_in_the_open_tab(self):
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
    def test_a_call_of_the_api_reads_no_session_though_it_brings_one(self):
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
