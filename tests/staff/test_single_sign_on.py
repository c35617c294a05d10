"""Tests of single sign-on: only the proxy in front names staff, and the session follows it."""

import hashlib
import re
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any

import time_machine
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.utils import timezone

from audit.models import SERVICE, AuditEvent
from staff.login.sso import PROXY_ONLY
from staff.models import User
from tests.staff.test_passkeys import a_client, give_passkey
from tests.staff.test_second_factor import code_of, set_up
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.dump import dumped
from tests.support.staff import log_in

# The same in every process: they are part of the names of the tests.
STAFF, OLD_STAFF, GATEWAY, WRONG = (
    hashlib.sha256(name).hexdigest() for name in (b"staff", b"old staff", b"gateway", b"no")
)
CLIENT = "for=192.0.2.7 proto=https"
HOME, LOG_IN, CODE = "/admin/", "/admin/login/", "/admin/second_factor/"
PASSWORDS_SHUT = override_settings(STAFF_PASSWORD_LOGIN=False)
ONLY = PROXY_ONLY


def says(user: str = "sam", mfa: str = "yes", token: str = STAFF) -> dict[str, str]:
    """Return the headers of a request for which the proxy says this."""
    return {"ReachScore-Gateway": f"{token} {CLIENT} user={user} mfa={mfa}"}


NOBODY = {"ReachScore-Gateway": f"{GATEWAY} {CLIENT}"}
# Header values after a right token that are refused.
REFUSED = [
    *(f"{CLIENT} user={said}" for said in (" mfa=yes", "sam mfa=", "sam mfa=YES", "sam mfa")),
    *(
        f"{CLIENT} user={user} mfa=no"
        for user in (
            *("sam mfa=yes", "sam mfa=yes user=sam", "sam user=kim", "%61dmin", "sam%20", '"sam"'),
            *("sam\t", "\tsam", "sam\tmfa=yes", "sam,kim", "sam;", "sam\\", "s/am", "sam=", "säm"),
            *("\udce4", "sam\x00", "sam\n", "ｓam", "a" * 151, "sam ", " sam", "sam:x", "+ "),
        )
    ),
    f"{CLIENT} user=sam",
    f"{CLIENT} mfa=yes",
    CLIENT,
    f"{CLIENT} mfa=yes user=sam",
    f"{CLIENT} user=sam mfa=no mfa=yes",
    f"{CLIENT} user=sam mfa=yes ",
    f"{CLIENT} user=sam  mfa=yes",
    f"{CLIENT} User=sam mfa=yes",
    f"user=sam mfa=yes {CLIENT}",
    "user=sam mfa=yes",
    "for=192.0.2.7 user=sam mfa=yes",
    f"{CLIENT} user=sam mfa=yes,{STAFF} {CLIENT} user=kim mfa=yes",  # Twice, joined.
    f"{CLIENT} user=sam mfa=yes" + " " * 1000,
]


@override_settings(
    STAFF_GATEWAY_TOKENS=(STAFF.encode(), OLD_STAFF.encode()),
    GATEWAY_TOKENS=(GATEWAY.encode(),),
    SECOND_FACTOR_REQUIRED=True,
)
class SingleSignOnTestCase(ApiTestCase):
    def setUp(self) -> None:
        self.browser = Client()

    def get(self, path: str = HOME, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        """Follow redirects as a browser does, with the same headers each time."""
        sent = says() if headers is None else headers
        return self.browser.get(path, headers=sent, follow=True, **more)

    def assertInside(self, answer: Answer, name: str = "sam") -> None:
        self.assertEqual((answer.status_code, answer.request["PATH_INFO"]), (200, HOME))
        self.assertEqual(answer.wsgi_request.user.username, name)

    def assertRefusedPage(self, answer: Answer, status: int, *texts: str) -> None:
        """Check that the admin's page says what to mend and that nobody is logged in."""
        self.assertEqual(answer["Content-Type"], "text/html; charset=utf-8")
        for text in ("let in", "ReachScore keys", *texts):
            self.assertContains(answer, text, status_code=status)
        self.assertNotIn("_auth_user_id", self.browser.session)

    def events(self, action: str) -> list[AuditEvent]:
        return list(AuditEvent.objects.filter(organization_id=SERVICE, action=action))


class HeaderTests(SingleSignOnTestCase):
    def test_sso_user_is_logged_in_under_either_token_with_event_and_address(self):
        for token in (STAFF, OLD_STAFF):
            self.browser = Client()
            self.assertInside(self.get(headers=says(token=token)))
        first, _ = self.events("staff.logged_in")
        self.assertEqual((first.actor_label, first.ip), ("sam", "192.0.2.7"))

    def test_sso_log_in_leads_to_the_page_asked_for_and_to_no_other_site(self):
        self.assertEqual(self.get("/admin/auth/group/").request["PATH_INFO"], "/admin/auth/group/")
        self.browser = Client()
        answer = self.browser.get(f"{LOG_IN}?next=https://evil.example/", headers=says())
        self.assertEqual(answer["Location"], HOME)

    def test_sso_header_of_any_other_form_is_refused_and_says_what_to_mend(self):
        for said in REFUSED:
            for path in (HOME, LOG_IN):
                with self.subTest(ascii(said)), captured_logs() as logs:
                    headers = {"ReachScore-Gateway": f"{STAFF} {said}"}
                    answer = self.browser.get(path, headers=headers)
                    self.assertRefusedPage(answer, 400, "STAFF_GATEWAY_TOKEN", "user=&lt;1 to 150")
                    for text in (answer.content.decode(), logs.getvalue()):
                        self.assertNotIn(STAFF[:8], text)
        self.assertEqual(self.events("staff.logged_in"), [])

    def test_sso_header_with_any_other_token_logs_nobody_in(self):
        for token in (WRONG, "", GATEWAY, f"{STAFF},{STAFF}", STAFF[:-1], f"{STAFF}=", f" {STAFF}"):
            with self.subTest(token):
                answer = self.browser.get(LOG_IN, headers=says(token=token))
                self.assertRefusedPage(answer, 400, "or its token is not the gateway")

    def test_sso_user_name_of_150_characters_is_accepted(self):
        name = "Az09._@+-".ljust(150, "x")
        User.objects.create_superuser(name)
        self.assertInside(self.get(headers=says(name)), name)

    def test_sso_token_is_refused_outside_the_admin(self):
        _, key = self.issue()
        for path in ("/v1/auth/me", "/v1/nope", "/", "/docs", "/static/x", "/readyz", "/adminx/"):
            for headers in (says(), {"ReachScore-Gateway": f"{STAFF} {CLIENT}"}):
                answer = key.get(path, headers=headers)
                self.assertRefused(answer, 400, "request_invalid", field="ReachScore-Gateway")
        with override_settings(GATEWAY_TOKENS=(), TRUSTED_PROXY_COUNT=1):
            forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
            self.assertEqual(key.get("/v1/auth/me", headers=says() | forwarded).status_code, 200)
            self.assertRefusedPage(self.browser.get(HOME, headers=says(token=WRONG)), 400)
            self.assertInside(self.get(headers=says() | forwarded))

    def test_sso_header_without_the_setting_logs_nobody_in(self):
        with override_settings(STAFF_GATEWAY_TOKENS=()):
            self.assertEqual(self.browser.get(LOG_IN, headers=says()).status_code, 400)
            self.assertContains(self.browser.get(LOG_IN, headers=NOBODY), "Password:")
            with override_settings(GATEWAY_TOKENS=()):
                self.assertContains(self.browser.get(LOG_IN, headers=says()), "Password:")


class AccountTests(SingleSignOnTestCase):
    def test_sso_name_or_without_one_the_user_name_is_compared_exactly(self):
        self.assertInside(self.get())
        User.objects.filter(pk=self.sam.pk).update(sso_name="sam@corp")
        self.browser = Client()
        self.assertInside(self.get(headers=says("sam@corp")))
        for other in ("sam", "SAM@corp", "Sam@corp", "sam@corp.", "am@corp"):
            self.browser = Client()
            with captured_logs() as logs:
                answer = self.get(headers=says(other))
            self.assertContains(answer, f"calls you &quot;{other}&quot;. No active")
            self.assertContains(answer, "Password:")
            self.assertIn(other, logs.records("reachscore.security")[0]["user"])

    @PASSWORDS_SHUT
    def test_sso_user_without_one_active_staff_account_is_refused_and_none_is_made(self):
        User.objects.create_user("left", is_staff=True, is_active=False)
        User.objects.create_user("guest")
        User.objects.create_user("kim", is_staff=True)
        User.objects.create_user("other", is_staff=True, sso_name="kim")
        before = User.objects.count()
        for name in ("stranger", "left", "guest", "kim", "rk_live_" + "x" * 40):
            with self.subTest(name):
                self.browser = Client()
                self.assertRefusedPage(self.get(headers=says(name)), 403, "under Users")
        self.assertEqual(User.objects.count(), before)
        self.assertNotContains(self.get(headers=says(name)), name, status_code=403)

    def test_sso_session_ends_with_the_next_request_if_the_account_loses_its_place(self):
        for change in ({"is_active": False}, {"is_staff": False}, {"sso_name": "sam@corp"}):
            with self.subTest(change), PASSWORDS_SHUT:
                self.browser = Client()
                self.assertInside(self.get())
                User.objects.filter(pk=self.sam.pk).update(**change)
                self.assertEqual(self.get().status_code, 403)
                User.objects.filter(pk=self.sam.pk).update(
                    is_active=True, is_staff=True, sso_name=None
                )

    @override_settings(SECOND_FACTOR_REQUIRED=False)
    def test_sso_name_is_set_by_superusers_is_unique_and_is_an_event(self):
        kim = User.objects.create_user("kim", password="correct horse", is_staff=True)
        User.objects.create_user("alex", sso_name="alex@corp")
        browser, page = self.staff(), f"/admin/staff/user/{kim.pk}/change/"

        def send(name: str) -> Answer:
            form = {"username": "kim", "is_active": "on", "is_staff": "on", "sso_name": name}
            form |= {"date_joined_0": "2030-01-01", "date_joined_1": "00:00:00"}
            return browser.post(page, form, headers=NOBODY)

        for name, said in (
            *(("sam", "cannot be another"), ("alex@corp", "already exists")),
            *(("säm", "valid value"), ("a b", "valid value"), ("a" * 151, "at most 150")),
            ("rk_live_" + "3iS8wW2x_" + "a" * 38, "key"),
        ):
            self.assertContains(send(name), said)
        for name, stored in (("kim@corp", "kim@corp"), ("", None), ("", None)):
            self.assertEqual(send(name).status_code, 302)
            kim.refresh_from_db()
            self.assertEqual(kim.sso_name, stored)
        changes = [event.changes["sso_name"] for event in self.events("staff.changed")]
        self.assertCountEqual(changes, [[None, "kim@corp"], ["kim@corp", None]])


class SessionTests(SingleSignOnTestCase):
    def test_sso_session_ends_if_the_proxy_names_another_user_nobody_or_no_second_factor(self):
        User.objects.create_superuser("kim")
        for headers in (says("kim"), says("Sam"), says(mfa="no"), NOBODY, {}):
            with self.subTest(headers):
                self.browser = Client()
                self.assertInside(self.get())
                before = len(self.events("staff.session_ended"))
                answer = self.browser.get("/admin/auth/group/", headers=headers)
                self.assertRedirects(
                    answer, f"{LOG_IN}?next=/admin/auth/group/", fetch_redirect_response=False
                )
                self.assertNotIn("_auth_user_id", self.browser.session)
                *_, event = self.events("staff.session_ended")
                self.assertEqual(event.target_id, str(self.sam.pk))
                self.assertEqual(len(self.events("staff.session_ended")), before + 1)
        self.assertIn("names nobody any more", event.reason)

    def test_form_sent_when_the_sso_user_changes_does_nothing(self):
        User.objects.create_superuser("kim")
        api_key, client = self.issue()
        self.get()
        url = f"/admin/apikeys/apikey/{api_key.pk.replace('_', '_5F')}/revoke/"
        for headers in (says("kim"), says("kim"), NOBODY):
            answer = self.browser.post(url, {"reason": "leaked"}, headers=headers)
            self.assertIn(LOG_IN, answer["Location"])
        self.assertEqual(client.get("/v1/auth/me", headers=NOBODY).status_code, 200)
        self.assertInside(self.get(headers=says("kim")), "kim")

    def test_sso_session_ends_if_single_sign_on_is_switched_off(self):
        self.get()
        with override_settings(STAFF_GATEWAY_TOKENS=()):
            self.assertEqual(self.browser.get(HOME, headers=NOBODY).status_code, 302)

    def test_password_log_in_detaches_the_session_from_the_proxy(self):
        self.get()
        form = {"username": "sam", "password": "correct horse", "next": HOME}
        with override_settings(SECOND_FACTOR_REQUIRED=False):
            self.browser.post(LOG_IN, form, headers=says())
        self.assertEqual(self.browser.get(HOME, headers=NOBODY).status_code, 200)

    def test_sso_session_that_ended_by_time_begins_again_with_the_next_click(self):
        with time_machine.travel(timezone.now(), tick=False) as clock:
            self.get()
            clock.shift(timedelta(minutes=30))
            self.assertInside(self.get())
        self.assertEqual(len(self.events("staff.logged_in")), 2)

    def test_sso_without_mfa_asks_for_the_accounts_second_factor(self):
        with time_machine.travel(timezone.now(), tick=False):
            factor, _ = set_up(self.sam)
            answer = self.get(headers=says(mfa="no"))
            self.assertContains(answer, "Type the six digits")
            self.assertEqual(self.events("staff.logged_in"), [])
            self.assertEqual(self.get(headers=says(mfa="no")).request["PATH_INFO"], CODE)
            code = {"code": code_of(factor.bin_key), "next": HOME}
            self.browser.post(CODE, code, headers=says(mfa="no"))
            self.assertInside(self.get(headers=says(mfa="no")))
            self.assertEqual(len(self.events("staff.logged_in")), 1)
            self.assertInside(self.get(headers=says(mfa="yes")))

    def test_sso_without_mfa_and_without_a_factor_sets_one_up_first(self):
        answer = self.get(headers=says(mfa="no"))
        self.assertEqual(answer.request["PATH_INFO"], "/admin/second_factor/set_up/")
        with override_settings(SECOND_FACTOR_REQUIRED=False):
            self.browser = Client()
            self.assertInside(self.get(headers=says(mfa="no")))


@PASSWORDS_SHUT
class ClosedPasswordLogInTests(SingleSignOnTestCase):
    def test_closed_password_log_in_shuts_every_page_without_the_sso_header(self):
        form = {"username": "sam", "password": "correct horse"}
        for headers in (NOBODY, {}):
            self.assertRefusedPage(self.browser.get(LOG_IN, headers=headers), 403, ONLY)
            self.assertRefusedPage(self.browser.post(LOG_IN, form, headers=headers), 403, ONLY)
            for path in (HOME, CODE, "/admin/jsi18n/", "/admin/password_change/", "/admin/nope/"):
                for call in (self.browser.get, self.browser.post):
                    self.assertIn(LOG_IN, call(path, headers=headers)["Location"])

    def test_closed_password_log_in_refuses_a_password_beside_the_sso_header(self):
        User.objects.create_superuser("kim", password="another horse")
        form = {"username": "kim", "password": "another horse"}
        self.assertRefusedPage(self.browser.post(LOG_IN, form, headers=says()), 403, ONLY)
        self.get()
        self.assertContains(self.browser.post(LOG_IN, form, headers=says()), ONLY, status_code=403)
        self.assertInside(self.get())

    def test_closed_password_log_in_refuses_a_passkey_except_as_second_factor(self):
        kim = User.objects.create_superuser("kim")
        phones = [give_passkey(user) for user in (self.sam, kim)]
        path, challenge = "/admin/passkeys/log_in/", "/admin/passkeys/challenge/"
        self.browser = a_client()
        for headers in (NOBODY, {}, says("stranger")):
            answer = self.browser.post(challenge, headers=headers)
            self.assertIn(LOG_IN, answer["Location"])
            for call in (self.browser.get, self.browser.post):
                self.assertRefusedPage(call(path, headers=headers), 403)
        for phone in phones:
            self.get(headers=says(mfa="no"))
            options = self.browser.post(challenge, headers=says(mfa="no")).json()
            form = {"credential": phone.show(options)}
            answer = self.browser.post(path, form, headers=says(mfa="no"))
            self.assertContains(answer, ONLY, status_code=403)
        self.assertEqual(self.events("staff.logged_in"), [])
        form = {"credential": phones[0].show(options), "next": HOME}
        self.browser.post(CODE, form, headers=says(mfa="no"))
        self.assertInside(self.get(headers=says(mfa="no")))
        (event,) = self.events("staff.logged_in")
        self.assertIn("single sign-on", str(event.changes))

    def test_closed_password_log_in_refuses_any_other_log_in_and_empties_its_session(self):
        with self.assertRaises(PermissionDenied):  # Like a view that logs in by another way.
            self.browser.force_login(self.sam)
        self.assertNotIn("_auth_user_id", self.browser.session)

    def test_closed_password_log_in_ends_earlier_password_sessions(self):
        with override_settings(STAFF_PASSWORD_LOGIN=True):
            log_in(self.browser, self.sam)
        self.assertIn(LOG_IN, self.browser.get(HOME, headers=says())["Location"])
        self.assertIn(ONLY, self.events("staff.session_ended")[0].reason)


class ProofTests(SingleSignOnTestCase):
    GROUP = "/admin/auth/group/add/"

    def add_group(self, **fields: str) -> Answer:
        form = {"name": "New", **fields}
        return self.browser.post(self.GROUP, form, headers=says())

    @PASSWORDS_SHUT
    def test_closed_password_log_in_takes_a_code_as_proof_and_never_the_password(self):
        with time_machine.travel(timezone.now(), tick=False) as clock:
            factor, _ = set_up(self.sam)
            self.get()
            page = self.browser.get(self.GROUP, headers=says())
            self.assertNotContains(page, "proof-password")
            for fields in (
                {},
                {"proof-password": "correct horse"},
                {"proof-password": "correct horse", "proof-code": "000000"},
                {"proof-code": ""},
                {"proof-x": "1"},
            ):
                answer = self.add_group(**fields)
                self.assertContains(answer, "proof-code")
                self.assertContains(answer, 'value="New"')
            clock.shift(timedelta(minutes=10))
            code = code_of(factor.bin_key)
            self.assertEqual(self.add_group(**{"proof-code": code}).status_code, 302)

    def test_closed_password_log_in_without_a_factor_refuses_the_proof_and_offers_set_up(self):
        for has_password, are_open in ((True, False), (False, True)):
            self.sam.set_password("correct horse" if has_password else None)
            self.sam.save()
            self.browser = Client()
            with override_settings(STAFF_PASSWORD_LOGIN=are_open):
                self.get()
                for fields in ({}, {"proof-password": "correct horse"}, {"proof-": ""}):
                    answer = self.add_group(**fields)
                    self.assertContains(answer, "You need a second factor for this")
                    self.assertNotContains(answer, "proof-password")
                page = self.browser.get(f"{CODE}set_up/", headers=says())
                self.assertContains(page, "authenticator app")
        self.assertFalse(Group.objects.filter(name="New").exists())


class LogInLinkTests(SingleSignOnTestCase):
    def link(self, name: str = "sam") -> str:
        said = StringIO()
        call_command("log_in_link", name, reason="proxy down", stdout=said, stderr=StringIO())
        found = re.fullmatch(r"http://localhost:8000(/admin/\S+)\n", said.getvalue())
        assert found
        return found[1]

    @PASSWORDS_SHUT
    def test_log_in_link_works_once_asks_for_the_factor_and_is_two_events(self):
        link = self.link()
        with override_settings(SECOND_FACTOR_REQUIRED=False):
            for _ in range(2):  # GET does not use the link up.
                self.assertContains(self.browser.get(link, headers=NOBODY), "works once")
            self.assertEqual(self.browser.post(link, headers=NOBODY)["Location"], HOME)
            self.assertInside(self.get(headers=NOBODY))
            self.assertInside(self.get(headers=says("kim")))  # The proxy is back.
            self.browser = Client()
            for call in (self.browser.get, self.browser.post):
                self.assertRefusedPage(call(link, headers=NOBODY), 403, "was used", "log_in_link")
        (made,), (used,) = (self.events(f"staff.log_in_link_{done}") for done in ("made", "used"))
        self.assertEqual((made.actor_type, made.reason), ("cli", "proxy down"))
        self.assertEqual((used.actor_label, used.ip), ("sam", "192.0.2.7"))
        self.browser.post(self.link(), headers=NOBODY)
        self.assertEqual(self.get(headers=NOBODY).request["PATH_INFO"], f"{CODE}set_up/")

    def test_log_in_link_ends_after_ten_minutes_a_log_in_a_new_password_or_deactivation(self):
        def log_in_elsewhere() -> None:
            Client().force_login(self.sam)

        def new_password() -> None:
            self.sam.set_password("correct horse battery")
            self.sam.save()

        def disabled() -> None:
            User.objects.filter(pk=self.sam.pk).update(is_active=False)

        for change in (log_in_elsewhere, new_password, self.sam.end_sessions, disabled):
            link = self.link()
            change()
            self.assertRefusedPage(self.browser.post(link, headers=NOBODY), 403)
        User.objects.filter(pk=self.sam.pk).update(is_active=True)
        with time_machine.travel(timezone.now(), tick=False) as clock:
            link = self.link()
            clock.shift(timedelta(minutes=10))
            self.assertEqual(self.browser.get(link, headers=NOBODY).status_code, 200)
            clock.shift(timedelta(seconds=1))
            self.assertRefusedPage(self.browser.post(link, headers=NOBODY), 403)

    def test_log_in_link_made_and_used_in_the_second_of_another_log_in_logs_in_once(self):
        with time_machine.travel(timezone.now().replace(microsecond=0), tick=False) as clock:
            Client().force_login(self.sam)
            clock.shift(timedelta(milliseconds=300))
            link = self.link()
            clock.shift(timedelta(milliseconds=300))
            for status in (302, 403):
                self.assertEqual(Client().post(link, headers=NOBODY).status_code, status)

    def test_forged_truncated_or_moved_log_in_link_is_refused(self):
        kim = User.objects.create_superuser("kim")
        pk, token = self.link().strip("/").split("/")[2:]
        for path in (
            *(f"{pk}/{token[:-1]}/", f"{pk}/{token}x/", f"{kim.pk}/{token}/", f"{10**30}/{token}/"),
            *(f"{pk}/{token.upper()}/", f"{pk}/-/", f"{pk}/%00/", f"{pk}/" + "x" * 3000 + "/"),
        ):
            for call in (self.browser.get, self.browser.post):
                answer = call(f"/admin/log_in_link/{path}", headers=NOBODY)
                self.assertRefusedPage(answer, 403)

    def test_log_in_link_and_its_token_are_in_no_table(self):
        token = self.link().strip("/").rpartition("/")[2]
        self.assertNotIn(token.partition("-")[2], dumped())

    def test_log_in_link_is_given_to_active_staff_only_and_needs_a_csrf_token(self):
        User.objects.create_user("left", is_staff=True, is_active=False)
        User.objects.create_user("guest")
        for name in ("left", "guest", "nobody"):
            with self.assertRaisesMessage(CommandError, "no active member of staff"):
                self.link(name)
        strict = Client(enforce_csrf_checks=True)
        self.assertEqual(strict.post(self.link(), headers=NOBODY).status_code, 403)


@override_settings(GATEWAY_TOKENS=(GATEWAY.encode(),), SECOND_FACTOR_REQUIRED=True)
class LogInLinkRaceTests(CommittedTestCase):
    def test_log_in_link_pressed_concurrently_logs_in_once(self):
        said = StringIO()
        call_command("log_in_link", "sam", reason="x", stdout=said, stderr=StringIO())
        link = said.getvalue().strip().removeprefix("http://localhost:8000")
        answers = in_threads(*(partial(Client().post, link, headers=NOBODY) for _ in range(4)))
        self.assertEqual(sorted(answer.status_code for answer in answers), [302, 403, 403, 403])
