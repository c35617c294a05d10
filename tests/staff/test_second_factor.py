"""Tests of the second factor: set up at the first log-in, asked at each, each code good once."""

import io
import re
from base64 import b32decode, b32encode, b64encode, urlsafe_b64encode
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

import segno
import time_machine
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.utils import timezone
from django_otp.oath import totp

from audit.actor import Actor
from audit.models import AuditEvent
from staff.login import factors
from staff.login.lockout import MOST_TRIES
from staff.models import RecoveryCode, SecondFactor, User
from staff.models.second_factor import MOST_DOUBLINGS, derive, has_factor
from staff.people import OnlySuperusersChange
from tests.support.admin_pages import PostForms
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.dump import dumped
from tests.support.staff import log_in

CODE, SET_UP = "/admin/second_factor/", "/admin/second_factor/set_up/"
KEYS = "/admin/apikeys/apikey/"
RECOVERY_CODE = re.compile(r"\b((?:[2-9a-z]{4}-){3}[2-9a-z]{4})\b")
STEP = 30


def code_of(secret: bytes, *, steps: int = 0) -> str:
    """Return the code an app shows now, or some steps later."""
    return f"{totp(secret, step=STEP, drift=steps):06}"


def being_set_up(user: User) -> SecondFactor:
    return SecondFactor(user=user, key=SecondFactor.new_key())


def secret_on(page: Answer) -> bytes:
    found = re.search(r"app: <code>([A-Z2-7 ]+)</code>", page.content.decode())
    assert found
    return b32decode(found[1].replace(" ", ""))


def set_up(user: User) -> tuple[SecondFactor, list[str]]:
    """Give the user an app, dated a minute ago; return it with the recovery codes."""
    user.refresh_from_db()
    begun = being_set_up(user)
    code = code_of(begun.bin_key, steps=-1)
    codes = factors.confirm(begun, code)
    assert codes
    begun.refresh_from_db()
    return begun, codes


class FactorTestCase(ApiTestCase):
    def setUp(self) -> None:
        travel = time_machine.travel(timezone.now().replace(microsecond=0), tick=False)
        self.clock = travel.start()
        self.addCleanup(travel.stop)
        self.browser = Client()

    def type_password(self, browser: Client | None = None, to: str = KEYS) -> Answer:
        form = {"username": "sam", "password": "correct horse", "next": to}
        return (browser or self.browser).post("/admin/login/", form)

    def type_code(self, code: str, browser: Client | None = None) -> Answer:
        return (browser or self.browser).post(CODE, {"code": code, "next": KEYS})

    def assertInside(self, browser: Client | None = None) -> None:
        self.assertEqual((browser or self.browser).get(KEYS).status_code, 200)

    def assertOutside(self, browser: Client | None = None) -> None:
        for url in ("/admin/", KEYS, f"{KEYS}add/", "/admin/password_change/"):
            for call in ((browser or self.browser).get, (browser or self.browser).post):
                response = call(url)
                self.assertEqual(response.status_code, 302, url)
                self.assertIn("/admin/login/", response["Location"], url)

    def recorded(self) -> list[str]:
        events = AuditEvent.objects.filter(organization_id="service").order_by("sequence")
        return list(events.values_list("action", flat=True))[1:]


@override_settings(SECOND_FACTOR_REQUIRED=True)
class SetUpTests(FactorTestCase):
    def test_second_factor_set_up_is_enforced_at_the_first_log_in_and_leads_on(self):
        response = self.type_password()
        self.assertTrue(response["Location"].startswith(CODE))
        response = self.browser.get(response["Location"])
        self.assertTrue(response["Location"].startswith(SET_UP))
        self.assertOutside()
        page = self.browser.get(response["Location"])
        self.assertIn("no-store", page["Cache-Control"])
        secret = secret_on(page)

        response = self.browser.post(SET_UP, {"code": code_of(secret), "next": KEYS})
        self.assertEqual(len(RECOVERY_CODE.findall(response.content.decode())), 10)
        self.assertIn("no-store", response["Cache-Control"])
        self.assertContains(response, f'href="{KEYS}"')
        self.assertInside()
        self.assertEqual(self.recorded(), ["staff.second_factor_set_up", "staff.logged_in"])

    def test_set_up_qr_code_holds_the_otpauth_uri_and_fits_the_csp(self):
        with mock.patch("segno.make_qr", wraps=segno.make_qr) as drawn:
            self.type_password()
            page = self.browser.get(SET_UP)
        uri = urlsplit(drawn.call_args[0][0])
        self.assertEqual((uri.scheme, uri.netloc), ("otpauth", "totp"))
        self.assertEqual(unquote(uri.path), "/ReachScore keys:sam")
        values = parse_qs(uri.query)
        self.assertEqual(b32decode(values["secret"][0]), secret_on(page))
        self.assertEqual(len(secret_on(page)), 20)
        (svg,) = re.findall(r'QR code">(<svg.*?</svg>)', page.content.decode(), re.DOTALL)
        for stopped in ("style", "script", "data:", "href"):
            self.assertNotIn(stopped, svg)

    def test_set_up_with_a_wrong_code_shows_the_same_secret_again(self):
        self.type_password()
        first = secret_on(self.browser.get(SET_UP))
        response = self.browser.post(SET_UP, {"code": "000000"})
        self.assertEqual(secret_on(response), first)
        self.assertIsNone(SecondFactor.of(self.sam))
        self.assertOutside()

    def test_set_up_confirms_only_the_secret_shown_in_the_same_session(self):
        other = Client()
        shown = []
        for browser in (other, self.browser):
            self.type_password(browser)
            shown.append(secret_on(browser.get(SET_UP)))
            self.assertEqual(secret_on(browser.get(SET_UP)), shown[-1])
        self.browser.post(SET_UP, {"code": code_of(shown[0])})
        self.assertOutside()
        self.browser.post(SET_UP, {"code": code_of(shown[1])})
        self.assertInside()

        self.assertIn("/admin/login/", other.post(SET_UP, {"code": "1"})["Location"])
        self.type_password(other)
        self.assertContains(self.type_code(code_of(shown[0]), other), "not the current code")
        self.assertEqual(self.recorded().count("staff.second_factor_set_up"), 1)

    def test_set_up_secret_ends_with_its_session_or_a_new_log_in(self):
        shown = []
        for end in ("/admin/second_factor/leave/", "/admin/login/", "/admin/login/"):
            self.type_password()
            shown.append(secret_on(self.browser.get(SET_UP)))
            self.browser.post(end)
        self.assertEqual(len(set(shown)), 3)

    def test_second_app_cannot_be_set_up_with_the_password_alone(self):
        set_up(self.sam)
        self.type_password()
        response = self.browser.get(SET_UP)
        self.assertTrue(response["Location"].startswith(CODE))
        self.browser.post(SET_UP, {"code": "000000"})
        self.assertEqual(SecondFactor.objects.count(), 1)

    def test_session_from_before_the_requirement_does_not_bypass_it(self):
        with override_settings(SECOND_FACTOR_REQUIRED=False):
            self.browser.force_login(self.sam)
        self.browser.force_login(self.sam)
        self.assertOutside()


@override_settings(SECOND_FACTOR_REQUIRED=True)
class LogInTests(FactorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.factor, self.codes = set_up(self.sam)
        self.secret = self.factor.bin_key

    def test_password_and_code_log_in_and_only_then_write_the_event(self):
        response = self.type_password()
        self.assertEqual(parse_qs(urlsplit(response["Location"]).query), {"next": [KEYS]})
        self.assertOutside()
        self.assertEqual(self.recorded(), ["staff.second_factor_set_up"])
        before = self.browser.session.session_key

        self.assertRedirects(self.type_code(code_of(self.secret)), KEYS)
        self.assertNotEqual(self.browser.session.session_key, before)
        self.assertEqual(self.recorded()[1:], ["staff.logged_in"])

    def test_code_half_a_minute_early_is_accepted(self):
        for steps in (0, 1):
            browser = Client()
            self.type_password(browser)
            self.assertEqual(
                self.type_code(code_of(self.secret, steps=steps), browser).status_code, 302
            )

    def test_used_code_and_an_older_one_are_refused(self):
        code, older = code_of(self.secret), code_of(self.secret, steps=-1)
        self.type_password()
        self.type_code(code)
        other = Client()
        self.type_password(other)
        for replayed in (code, older):
            self.assertContains(self.type_code(replayed, other), "used before")
            self.clock.shift(timedelta(seconds=3))
        self.assertOutside(other)

    def test_wrong_code_is_not_shown_again(self):
        for typed in ("123456", "abcd-efgh-2345-6789"):
            self.type_password()
            self.assertNotContains(self.type_code(typed), typed)

    def test_malformed_code_is_refused_as_wrong(self):
        self.type_password()
        for code in ("", " ", "12345", "1234567", "٠٠٠٠٠٠", "-00001", "x" * 40, "x" * 41, "a\x00b"):
            with self.subTest(code):
                self.assertEqual(self.type_code(code).status_code, 200)
                self.clock.shift(timedelta(minutes=20))
                self.type_password()
        self.assertOutside()

    def test_wrong_code_doubles_the_wait_up_to_a_bound(self):
        self.type_password()
        self.assertContains(self.type_code("000000"), "not the current code")
        too_soon = self.type_code(code_of(self.secret))
        self.assertContains(too_soon, "not the current code")
        self.clock.shift(timedelta(seconds=1))
        self.assertEqual(self.type_code(code_of(self.secret)).status_code, 302)

        for _ in range(30):
            factors.verify(self.sam, "000000")
            self.clock.shift(timedelta(seconds=2**MOST_DOUBLINGS))
        factors.verify(self.sam, "000000")
        self.clock.shift(timedelta(seconds=2 ** (MOST_DOUBLINGS - 1) - 1))
        self.assertFalse(factors.verify(self.sam, code_of(self.secret)))
        self.clock.shift(timedelta(seconds=1))
        self.assertTrue(factors.verify(self.sam, code_of(self.secret)))

    def test_wrong_codes_lock_the_address_out_despite_right_passwords(self):
        for _ in range(MOST_TRIES):
            self.type_password()
            self.type_code("000000")
        self.assertContains(self.type_password(Client()), "Too many failed tries")
        self.assertIn("staff.locked_out", self.recorded())

    def test_wrong_code_is_a_security_log_line_without_the_code(self):
        self.type_password()
        with captured_logs() as logs:
            self.type_code("271828")
        (line,) = logs.records("reachscore.security")
        self.assertEqual((line["message"], line["user"]), ("failed second factor", '"sam"'))
        self.assertNotIn("271828", logs.getvalue())

    def test_recovery_code_logs_in_once(self):
        first, second = self.codes[0], self.codes[1].replace("-", " ").upper()
        for code, lets_in in ((first, True), (first, False), (second, True)):
            browser = Client()
            self.type_password(browser)
            self.assertEqual(self.type_code(code, browser).status_code, 302 if lets_in else 200)
        self.assertEqual(RecoveryCode.objects.count(), 8)
        self.assertEqual(self.recorded().count("staff.recovery_code_used"), 2)

    def test_recovery_code_need_not_wait_after_wrong_codes(self):
        for _ in range(5):
            factors.verify(self.sam, "000000")
        self.type_password()
        self.assertEqual(self.type_code(self.codes[0]).status_code, 302)

    def test_recovery_code_of_another_account_is_refused(self):
        kim = User.objects.create_superuser("kim", password="another horse")
        _, codes = set_up(kim)
        self.type_password()
        self.assertEqual(self.type_code(codes[0]).status_code, 200)

    def test_half_finished_log_in_expires_and_can_be_left(self):
        self.type_password()
        self.browser.post("/admin/second_factor/leave/")
        self.assertContains(self.browser.get("/admin/login/"), "Password")
        self.type_password()
        self.clock.shift(timedelta(minutes=15))
        response = self.browser.get(CODE, follow=True)
        self.assertContains(response, "no code came")

    def test_leaving_is_a_log_out_event_only_after_a_finished_log_in(self):
        for are_in in (False, True):
            self.type_password()
            if are_in:
                log_in(self.browser, self.sam)
            self.browser.post("/admin/second_factor/leave/")
            self.assertEqual(self.recorded().count("staff.logged_out"), are_in)

    def test_half_finished_log_in_shows_nothing_of_the_admin(self):
        self.type_password()
        page = self.browser.get(CODE).content.decode()
        for link in (KEYS, "/admin/accounts/", "nav-sidebar"):
            self.assertNotIn(link, page.replace(f"next={KEYS}", ""))


@override_settings(SECOND_FACTOR_REQUIRED=True)
class DumpTests(FactorTestCase):
    def test_no_table_holds_a_cookie_a_shown_secret_or_a_recovery_code(self):
        shown: list[str] = []

        def note(*secrets: bytes) -> None:
            """Note secrets and the cookie of now, in each spelling; look for what was noted."""
            cookie = self.browser.cookies["sessionid"].value
            shown.append(cookie)
            for secret in (*secrets, cookie.encode()):
                spelled = (b32encode(secret), b64encode(secret), urlsafe_b64encode(secret))
                shown.extend([secret.hex(), *(text.decode().rstrip("=") for text in spelled)])
            dump = dumped().lower()
            for text in shown:
                self.assertNotIn(text.lower(), dump)

        self.type_password()
        note()
        first = secret_on(self.browser.get(SET_UP))
        note(first)
        page = self.browser.post(SET_UP, {"code": code_of(first)}).content.decode()
        codes = [code.replace("-", "").encode() for code in RECOVERY_CODE.findall(page)]
        self.assertEqual(len(codes), 10)
        shown += [code.decode() for code in codes]
        note(*codes)
        second = secret_on(self.browser.get(SET_UP))
        note(second)
        self.clock.shift(timedelta(seconds=STEP))
        self.browser.post(SET_UP, {"code": code_of(second)})
        note()
        self.assertInside()
        self.assertGreater(len(set(shown)), 40)

    def test_session_columns_do_not_log_in_as_a_cookie(self):
        factor, _ = set_up(self.sam)
        self.type_password()
        self.type_code(code_of(factor.bin_key))
        self.assertInside()
        for value in Session.objects.values_list("session_key", "session_data").get():
            thief = Client()
            thief.cookies["sessionid"] = value
            self.assertOutside(thief)

    def test_second_factor_row_moved_to_another_account_or_key_makes_other_codes(self):
        kim = User.objects.create_superuser("kim", password="another horse")
        factor, codes = set_up(self.sam)
        with self.settings(ENCRYPTION_KEYS={1: bytes(32), 2: bytes(32)}):
            moved = [(self.sam, "0001"), (self.sam, "0002"), (kim, "0001")]
            made = {SecondFactor(user=user, key=f"{key}ab").bin_key for user, key in moved}
            self.assertNotEqual(derive(1, "one purpose", "a"), derive(1, "another purpose", "a"))
        self.assertEqual(len(made), 3)
        for user, counts in ((self.sam, True), (kim, False)):
            SecondFactor.objects.update(user=user, last_t=-1)
            RecoveryCode.objects.update(user=user)
            self.assertIs(factors.verify(user, code_of(factor.bin_key)), counts)
            self.assertIs(factors.verify(user, codes[counts]), counts)


class OptionalFactorTests(FactorTestCase):
    def test_optional_second_factor_can_be_set_up_after_a_password_log_in(self):
        self.assertRedirects(self.type_password(), KEYS)
        self.assertContains(self.browser.get(CODE), "Your password alone")
        secret = secret_on(self.browser.get(SET_UP))
        answer = self.browser.post(SET_UP, {"code": code_of(secret)})
        self.assertEqual(len(RECOVERY_CODE.findall(answer.content.decode())), 10)
        self.assertInside()
        self.assertEqual(self.recorded().count("staff.logged_in"), 1)

        other = Client()
        self.type_password(other)
        self.assertOutside(other)

    def test_new_app_replaces_the_first_and_ends_its_sessions(self):
        first, _ = set_up(self.sam)
        other = Client()
        self.type_password(other)
        self.type_code(code_of(first.bin_key), other)
        self.assertInside(other)
        self.clock.shift(timedelta(seconds=STEP))
        self.type_password()
        self.type_code(code_of(first.bin_key))
        self.clock.shift(timedelta(seconds=STEP))

        shown = {secret_on(browser.get(SET_UP)) for browser in (other, self.browser)}
        self.assertEqual(len(shown), 2)
        second = secret_on(self.browser.get(SET_UP))
        self.browser.post(SET_UP, {"code": code_of(second)})

        factor = SecondFactor.of(self.sam)
        assert factor is not None
        self.assertEqual(factor.bin_key, second)
        self.assertNotIn(secret_on(self.browser.get(SET_UP)), shown)  # Used up.
        self.assertInside()
        self.assertOutside(other)
        self.assertFalse(factors.verify(self.sam, code_of(first.bin_key, steps=1)))

    def test_new_recovery_codes_replace_the_old(self):
        factor, old = set_up(self.sam)
        self.type_password()
        self.type_code(code_of(factor.bin_key))
        answer = self.browser.post("/admin/second_factor/recovery_codes/")
        new = RECOVERY_CODE.findall(answer.content.decode())
        self.assertEqual(len({*new, *old}), 20)
        self.assertFalse(factors.verify(self.sam, old[0]))
        self.assertTrue(factors.verify(self.sam, new[0]))
        self.assertIn("staff.recovery_codes_made", self.recorded())

    def test_recovery_codes_are_not_shown_again_if_their_page_is_sent_again(self):
        self.type_password()
        form = {"code": code_of(secret_on(self.browser.get(SET_UP))), "newest": "0"}
        self.assertContains(self.browser.post(SET_UP, form), 'id="plaintext"')
        for url in (SET_UP, f"{CODE}recovery_codes/"):
            self.assertContains(
                self.browser.post(url, form), "were shown once and cannot be shown again"
            )
        page = self.browser.get(CODE).content.decode()
        form = dict(PostForms(page).forms)[f"{CODE}recovery_codes/"]
        for said in ('id="plaintext"', "were shown once and cannot be shown again"):
            self.assertContains(self.browser.post(f"{CODE}recovery_codes/", form), said)
        events = ["staff.second_factor_set_up", "staff.recovery_codes_made"]
        self.assertEqual(self.recorded()[1:], events)

    def test_app_is_removed_with_its_codes_and_sessions_unless_one_is_required(self):
        factor, _ = set_up(self.sam)
        browsers = (Client(), self.browser)
        for steps, browser in enumerate(browsers):
            self.type_password(browser)
            self.type_code(code_of(factor.bin_key, steps=steps), browser)
            self.assertInside(browser)
        with override_settings(SECOND_FACTOR_REQUIRED=True):
            page = self.browser.post(f"{CODE}remove_app/", follow=True)
            self.assertContains(page, "your only second factor")
        self.assertEqual(RecoveryCode.objects.count(), 10)
        for browser in browsers:
            self.assertInside(browser)

        page = self.browser.post(f"{CODE}remove_app/", follow=True)
        self.assertContains(page, "Your authenticator app is removed")
        self.assertFalse(has_factor(self.sam) or RecoveryCode.objects.exists())
        self.assertOutside(browsers[0])
        self.assertEqual(self.recorded()[-1], "staff.second_factor_removed")
        self.assertContains(self.browser.post(f"{CODE}remove_app/", follow=True), "alone lets you")


class ResetTests(FactorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kim = User.objects.create_superuser("kim", password="another horse")
        self.factor, self.codes = set_up(self.sam)
        self.type_password()
        self.type_code(code_of(self.factor.bin_key))

    def assertReset(self, actor: str) -> None:
        self.assertIsNone(SecondFactor.of(self.sam))
        self.assertEqual(RecoveryCode.objects.count(), 0)
        self.assertOutside()
        event = AuditEvent.objects.get(action="staff.second_factor_reset")
        self.assertEqual((str(event.actor), event.reason), (actor, "lost the phone"))
        with override_settings(SECOND_FACTOR_REQUIRED=True):
            response = self.browser.get(self.type_password()["Location"])
            self.assertTrue(response["Location"].startswith(SET_UP))

    def test_superuser_can_reset_a_second_factor_which_ends_the_sessions(self):
        url = f"/admin/staff/user/{self.sam.pk}/reset_second_factor/"
        browser = self.staff(self.kim)
        page = f"/admin/staff/user/{self.sam.pk}/change/"
        self.assertContains(browser.get(page), url)
        self.assertContains(browser.get(url), "must set up")
        self.assertContains(browser.post(url, {"reason": ""}), "required")
        self.assertContains(
            browser.post(url, {"reason": "lost the phone"}, follow=True), "is reset"
        )
        self.assertReset("staff:kim")
        again = browser.post(url, {"reason": "lost the phone"}, follow=True)
        self.assertContains(again, "All sessions have ended")

    def test_sessions_end_for_good_after_a_reset_deactivation_or_loss_of_staff_status(self):
        """Half-finished log-ins, too: they could set up a new app."""
        form = {"username": "sam", "is_superuser": "on", "email": ""}
        page = f"/admin/staff/user/{self.sam.pk}/change/"
        reset = partial(factors.reset, self.sam, actor=Actor.cli(), reason="lost")
        kim = self.staff(self.kim)
        disable = partial(kim.post, page, form | {"is_staff": "on"})
        demote = partial(kim.post, page, form | {"is_active": "on"})
        half_way = Client()
        for call in (reset, disable, demote):
            with self.subTest(call):
                self.type_password(half_way)
                self.assertEqual(half_way.get(CODE).status_code, 200)
                call()
                self.assertFalse(SecondFactor.objects.exists() or RecoveryCode.objects.exists())
                User.objects.filter(pk=self.sam.pk).update(is_active=True, is_staff=True)
                for url in (CODE, SET_UP):
                    self.assertIn("/admin/login/", half_way.get(url)["Location"])
                self.assertOutside()
                set_up(self.sam)
                self.clock.shift(timedelta(minutes=1))
        self.assertEqual(self.recorded().count("staff.second_factor_reset"), 3)

    def test_account_saved_at_the_moment_of_a_reset_brings_no_session_and_no_right_back(self):
        form = {"username": "sam", "is_superuser": "on", "email": "s@x.example"}
        form |= {"is_active": "on", "is_staff": "on"}
        save = OnlySuperusersChange.save_model

        def reset_first(*args: Any) -> None:
            User.objects.filter(pk=self.sam.pk).update(is_superuser=False)
            factors.reset(self.sam, actor=Actor.cli(), reason="lost")
            save(*args)

        with mock.patch.object(OnlySuperusersChange, "save_model", reset_first):
            page = f"/admin/staff/user/{self.sam.pk}/change/"
            self.assertEqual(self.staff(self.kim).post(page, form).status_code, 302)
        self.sam.refresh_from_db()
        self.assertEqual((self.sam.email, self.sam.is_superuser), ("s@x.example", False))
        self.assertOutside()

    def test_password_changed_at_the_moment_a_right_is_lost_does_not_bring_it_back(self):
        def lose_right(*_: Any) -> None:
            User.objects.filter(pk=self.sam.pk).update(is_superuser=False)

        new = {"new_password1": "a new horse every day", "new_password2": "a new horse every day"}
        with mock.patch("staff.login.site.proof_asked", lose_right):
            self.browser.post("/admin/password_change/", {"old_password": "correct horse", **new})
        self.sam.refresh_from_db()
        self.assertTrue(self.sam.check_password(new["new_password1"]))
        self.assertFalse(self.sam.is_superuser)

    def test_reset_second_factor_command_resets_it(self):
        out = io.StringIO()
        call_command(
            "reset_second_factor",
            "sam",
            "--reason",
            "lost the phone",
            stdout=out,
            stderr=io.StringIO(),
        )
        self.assertEqual(out.getvalue().strip(), "sam")
        self.assertReset("cli")

    def test_reset_second_factor_command_refuses_an_unknown_name_or_empty_reason(self):
        for name, reason in (("nobody", "x"), ("sam", " ")):
            with self.assertRaises(CommandError):
                call_command("reset_second_factor", name, "--reason", reason)
        self.assertIsNotNone(SecondFactor.of(self.sam))


class RaceTests(CommittedTestCase):
    def test_one_code_sent_concurrently_counts_once(self):
        factor, codes = set_up(self.sam)
        code = code_of(factor.bin_key)
        for call in (
            partial(factors.verify, self.sam, code),
            partial(factors.verify, self.sam, codes[0]),
        ):
            self.assertEqual(sorted(in_threads(*[call] * 6)), [*[False] * 5, True])

    def test_of_apps_confirmed_concurrently_one_holds(self):
        """One session's secret, sent several times, and several sessions' secrets."""
        key = SecondFactor.new_key()
        users = [User.objects.get(pk=self.sam.pk) for _ in range(6)]
        begun = [SecondFactor(user=user, key=key) for user in users[:3]]
        begun += [being_set_up(user) for user in users[3:]]
        calls = [partial(factors.confirm, each, code_of(each.bin_key)) for each in begun]
        self.assertEqual(sum(codes is not None for codes in in_threads(*calls)), 1)
        self.assertEqual(RecoveryCode.objects.count(), 10)

    def test_concurrent_reset_and_set_up_leave_one_app_or_none(self):
        set_up(self.sam)
        begun = being_set_up(User.objects.get(pk=self.sam.pk))
        code = code_of(begun.bin_key)
        actor = Actor.staff(self.sam)
        calls: list[Any] = [
            partial(factors.confirm, begun, code),
            partial(factors.reset, self.sam, actor=actor, reason="lost"),
        ]
        _, was_reset = in_threads(*calls)
        self.assertTrue(was_reset)
        left = SecondFactor.objects.count()
        self.assertIn(left, (0, 1))
        self.assertEqual(RecoveryCode.objects.count(), 10 * left)
