"""Tests of the password log-in of staff: hashing, lockout, events, mails and cookie."""

from base64 import b32decode
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import time_machine
from django.conf import settings
from django.contrib.auth.hashers import get_hasher, identify_hasher, make_password
from django.core import mail
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from django_otp.oath import totp

from audit.models import SERVICE, AuditEvent
from staff.login.lockout import MOST_TRIES
from staff.models import LogInTries, SecondFactor, User
from staff.models.log_in_tries import COOL_OFF
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads

LOG_IN = "/admin/login/"
ISSUE = "/admin/apikeys/apikey/add/"
LOCKED = "Too many failed tries from your address"


def try_password(
    password: str, *, name: str = "sam", browser: Client | None = None, **meta: str
) -> Answer:
    form = {"username": name, "password": password, "next": "/admin/"}
    return (browser or Client()).post(LOG_IN, form, **meta)  # type: ignore[arg-type]


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(organization_id=SERVICE, action=action))


class LogInTestCase(ApiTestCase):
    def guess(self, times: int = MOST_TRIES, **meta: Any) -> None:
        for _ in range(times):
            self.assertEqual(try_password("wrong", **meta).status_code, 200)

    def assertLetIn(self, response: Answer) -> None:
        self.assertEqual(response.status_code, 302)
        self.assertEqual(response["Location"], "/admin/")


class PasswordTests(ApiTestCase):
    def test_passwords_are_hashed_with_argon2id(self):
        with override_settings(PASSWORD_HASHERS=production_hashers()):
            hashed = make_password("correct horse battery")
            self.assertEqual(get_hasher().algorithm, "argon2")
            self.assertTrue(hashed.startswith("argon2$argon2id$"))
            self.assertEqual(identify_hasher(hashed).algorithm, "argon2")

    def test_passwords_need_twelve_characters_and_must_be_uncommon(self):
        browser = self.staff()
        for password, message in (
            ("horse staple", ""),
            ("horse staple"[:11], "at least 12 characters"),
            ("123456789012", "entirely numeric"),
            ("sam sam sam!", "too similar"),
            ("password1234", "too common"),
        ):
            form = {"username": "sam sam sam".replace(" ", "."), "usable_password": "true"}
            form |= {"password1": password, "password2": password}
            with self.subTest(password):
                response = browser.post("/admin/staff/user/add/", form)
                if message:
                    self.assertContains(response, message)
                else:
                    self.assertEqual(response.status_code, 302)


def production_hashers() -> list[str]:
    return [
        "django.contrib.auth.hashers.Argon2PasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    ]


class LockOutTests(LogInTestCase):
    def test_ten_wrong_passwords_lock_the_name_out_from_that_address(self):
        self.guess(MOST_TRIES - 2)
        self.assertNotContains(try_password("wrong"), LOCKED)
        self.assertContains(try_password("wrong"), LOCKED)  # The tenth.
        self.assertContains(try_password("correct horse"), LOCKED)

    def test_lockout_spares_the_name_elsewhere_and_other_names_here(self):
        User.objects.create_superuser("kim", password="correct horse")
        self.guess()
        self.assertLetIn(try_password("correct horse", REMOTE_ADDR="192.0.2.9"))
        self.assertLetIn(try_password("correct horse", name="kim"))

    def test_lockout_ends_by_itself_and_further_tries_do_not_extend_it(self):
        with time_machine.travel(timezone.now(), tick=False) as clock:
            self.guess()
            clock.shift(COOL_OFF - timedelta(seconds=1))
            self.assertContains(try_password("correct horse"), LOCKED)
            clock.shift(timedelta(seconds=1))
            self.assertLetIn(try_password("correct horse"))

    def test_lockout_by_a_fast_clock_does_not_hold(self):
        with time_machine.travel(timezone.now() + timedelta(hours=1), tick=False):
            self.guess()
            self.assertContains(try_password("correct horse"), LOCKED)
        self.assertLetIn(try_password("correct horse"))

    def test_successful_log_in_resets_the_count_of_failures(self):
        for _ in range(3):
            self.guess(MOST_TRIES - 1)
            self.assertLetIn(try_password("correct horse"))

    def test_unknown_name_is_locked_out_the_same_and_is_no_event(self):
        self.guess(name="nobody")
        self.assertContains(try_password("x", name="nobody"), LOCKED)
        self.assertEqual(events("staff.locked_out"), [])

    @mock.patch("staff.login.lockout.MOST_TRIES_OF_AN_ADDRESS", 15)
    def test_address_that_tries_many_names_is_locked_out_for_all(self):
        for number in range(15):
            try_password("wrong", name=f"name-{number}")
        self.assertContains(try_password("correct horse"), LOCKED)
        self.assertLetIn(try_password("correct horse", REMOTE_ADDR="192.0.2.9"))

    @mock.patch("staff.login.lockout.MOST_TRIES_OF_AN_ADDRESS", 15)
    def test_tries_while_locked_out_do_not_count_towards_the_address(self):
        User.objects.create_superuser("kim", password="correct horse")
        self.guess(20)
        self.assertLetIn(try_password("correct horse", name="kim"))

    def test_ipv6_client_is_locked_out_with_its_whole_network(self):
        for number in range(MOST_TRIES):
            try_password("wrong", REMOTE_ADDR=f"2001:db8:0:1::{number:x}")
        self.assertContains(
            try_password("correct horse", REMOTE_ADDR="2001:db8:0:1:ffff::1"), LOCKED
        )
        self.assertLetIn(try_password("correct horse", REMOTE_ADDR="2001:db8:0:2::1"))

    @override_settings(TRUSTED_PROXY_COUNT=1)
    def test_lockout_counts_the_address_the_trusted_proxy_saw(self):
        for number in range(MOST_TRIES):
            forwarded = f"203.0.113.{number}, 192.0.2.7:{5000 + number}"  # Azure adds the port.
            try_password("wrong", HTTP_X_FORWARDED_FOR=forwarded)
        self.assertContains(try_password("wrong", HTTP_X_FORWARDED_FOR="192.0.2.7"), LOCKED)
        self.assertLetIn(
            try_password("correct horse", HTTP_X_FORWARDED_FOR="192.0.2.7, 192.0.2.8:5000")
        )

    @override_settings(TRUSTED_PROXY_COUNT=1)
    def test_unknown_addresses_are_counted_as_one_for_the_lockout(self):
        self.guess()
        self.assertContains(try_password("correct horse"), LOCKED)

    def test_lockout_is_one_event_for_any_number_of_addresses(self):
        with time_machine.travel(timezone.now(), tick=False) as clock:
            for number in range(3):
                self.guess(MOST_TRIES + 2, REMOTE_ADDR=f"192.0.2.{number + 1}")
            (event,) = events("staff.locked_out")
            clock.shift(COOL_OFF)
            self.guess(MOST_TRIES)
            self.assertEqual(len(events("staff.locked_out")), 2)
        self.assertEqual((event.actor_type, event.ip), ("stranger", "192.0.2.1"))
        self.assertEqual(event.target_id, str(self.sam.pk))
        self.assertEqual(events("staff.logged_in"), [])

    def test_locked_out_log_in_computes_no_hash(self):
        self.guess()
        with mock.patch("django.contrib.auth.hashers.check_password") as checked:
            self.guess(1)
        checked.assert_not_called()

    def test_log_in_tries_store_nothing_typed(self):
        for number in range(5):
            try_password("a secret", name=f"typed-{number}")
        with connection.cursor() as cursor:
            cursor.execute("SELECT t::text FROM staff_logintries t")
            stored = str(cursor.fetchall())
        self.assertNotIn("typed", stored)
        self.assertEqual(LogInTries.objects.count(), 10)  # Each by its name, and by the address.

    def test_failures_count_together_within_a_quarter_of_an_hour(self):
        with time_machine.travel(timezone.now(), tick=False) as clock:
            self.guess(MOST_TRIES - 1)
            clock.shift(COOL_OFF - timedelta(seconds=1))
            self.guess(1)
            self.assertContains(try_password("correct horse"), LOCKED)
            clock.shift(timedelta(seconds=1))
            self.assertLetIn(try_password("correct horse"))


class LockOutRaceTests(CommittedTestCase):
    def test_concurrent_tries_exceed_the_limit_by_at_most_the_number_of_threads(self):
        looked = []
        real = User.check_password

        def look(user: User, password: str) -> bool:
            looked.append(password)
            return real(user, password)

        def guess() -> None:
            for _ in range(MOST_TRIES):
                try_password("wrong")

        threads = 6
        with mock.patch.object(User, "check_password", look):
            in_threads(*[guess] * threads)
        self.assertIn(len(looked), range(MOST_TRIES, MOST_TRIES + threads))
        self.assertEqual(len(events("staff.locked_out")), 1)


class LogInEventTests(LogInTestCase):
    def test_log_in_and_log_out_are_events_with_address_and_user_agent(self):
        browser = Client()
        try_password("correct horse", browser=browser, HTTP_USER_AGENT="Firefox")
        browser.post("/admin/logout/")
        (logged_in,), (logged_out,) = events("staff.logged_in"), events("staff.logged_out")
        self.assertEqual((logged_in.actor_label, logged_in.ip), ("sam", "127.0.0.1"))
        self.assertEqual(logged_in.user_agent, "Firefox")
        self.assertEqual(logged_out.target_id, str(self.sam.pk))

    def test_single_failed_log_in_is_a_security_line_and_no_event(self):
        before = AuditEvent.objects.count()
        with captured_logs() as logs:
            self.guess(1)
        self.assertEqual(AuditEvent.objects.count(), before)
        self.assertEqual(len(logs.records("reachscore.security")), 1)

    def test_log_in_that_cannot_be_recorded_is_refused(self):
        browser = Client(raise_request_exception=False)
        with mock.patch("audit.models.AuditEvent.save", side_effect=RuntimeError):
            self.assertEqual(try_password("correct horse", browser=browser).status_code, 500)
        self.assertIn(LOG_IN, browser.get("/admin/")["Location"])

    def test_inactive_or_non_staff_account_cannot_log_in(self):
        for field in ("is_staff", "is_active"):
            with self.subTest(field):
                User.objects.filter(pk=self.sam.pk).update(**{field: False})
                self.assertContains(try_password("correct horse"), "Please enter the correct")
                User.objects.filter(pk=self.sam.pk).update(**{field: True})


class MailTests(ApiTestCase):
    """Changes of an account are mailed to its owner after the commit."""

    def told(self) -> str:
        """Return the subject of the one new mail, which must be to Sam."""
        ((sent),) = mail.outbox
        mail.outbox.clear()
        self.assertEqual(sent.to, ["sam@reachscore.example"])
        self.assertIn("On the account sam ", sent.body)
        return str(sent.subject)

    def test_owner_is_mailed_each_change_if_the_account_has_an_address(self):
        self.sam.email = "sam@reachscore.example"
        self.sam.save()
        browser = self.staff()
        new = "a new horse every day"
        form = {"old_password": "correct horse", "new_password1": new, "new_password2": new}
        for what, call in (
            ("set up", partial(self.set_up, browser)),
            ("new recovery codes", partial(browser.post, "/admin/second_factor/recovery_codes/")),
            ("was removed", partial(browser.post, "/admin/second_factor/remove_app/")),
            ("password was changed", partial(browser.post, "/admin/password_change/", form)),
        ):
            with self.subTest(what), self.captureOnCommitCallbacks(execute=True):
                call()
            self.assertIn(what, self.told())
        User.objects.update(email="")
        with self.captureOnCommitCallbacks(execute=True):
            self.set_up(browser)
        self.assertEqual(mail.outbox, [])

    def test_change_of_an_account_holds_if_its_mail_cannot_be_sent(self):
        self.sam.email = "sam@reachscore.example"
        self.sam.save()
        browser = self.staff()
        gone = mock.patch("django.contrib.auth.models.send_mail", side_effect=OSError("no server"))
        with gone, captured_logs() as logs, self.captureOnCommitCallbacks(execute=True):
            self.set_up(browser)
        self.assertIn("no server", logs.getvalue())
        self.assertIsNotNone(SecondFactor.of(self.sam))

    def set_up(self, browser: Client) -> None:
        page = browser.get("/admin/second_factor/set_up/").content.decode()
        secret = b32decode(
            page.partition("app: <code>")[2].partition("</code>")[0].replace(" ", "")
        )
        answer = browser.post("/admin/second_factor/set_up/", {"code": f"{totp(secret):06}"})
        self.assertContains(answer, "recovery codes")


class CookieTests(ApiTestCase):
    def test_session_cookie_is_http_only_same_site_and_bounded(self):
        browser = Client()
        try_password("correct horse", browser=browser)
        cookie = browser.cookies["sessionid"]
        self.assertTrue(cookie["httponly"])
        self.assertEqual(cookie["samesite"], "Lax")
        self.assertEqual(cookie["max-age"], settings.SESSION_COOKIE_AGE)

    def test_session_holds_times_and_no_secret(self):
        browser = Client()
        try_password("correct horse", browser=browser)
        held = dict(browser.session)
        own = {name for name in held if not name.startswith("_auth")}
        self.assertEqual(own, {"began_at", "seen_at", "proved_at", "is_in", "way"})
        self.assertNotIn("correct horse", str(held))
