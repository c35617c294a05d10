"""Tests of the proof (step-up authentication): asked on the form 15 minutes after the last one."""

from datetime import timedelta
from html import unescape
from typing import Any

import time_machine
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from apikeys.plaintext import new_plaintext
from audit.models import AuditEvent
from staff.login.lockout import MOST_TRIES
from staff.models import SecondFactor, User
from tests.staff.test_admin import KEYS, AdminTestCase, page_of
from tests.staff.test_second_factor import code_of, set_up
from tests.staff.test_staff_login import LOCKED, events, try_password
from tests.support.admin_pages import PostForms
from tests.support.cast import Answer
from tests.support.staff import filled_in, log_in

USERS, GROUPS, EVENTS = "/admin/staff/user/", "/admin/auth/group/", "/admin/audit/auditevent/"
PROOF = {"proof-password": "correct horse"}
ASKED, WRONG = 'name="proof-password"', "That is not your password"
NEW_PASSWORD = "a battery, 2 staples"
CHANGE_PASSWORD = "/admin/password_change/"


class ProofTestCase(AdminTestCase):
    def setUp(self) -> None:
        clock = time_machine.travel(timezone.now(), tick=False)
        self.clock = clock.start()
        self.addCleanup(clock.stop)
        super().setUp()
        self.alex = User.objects.create_user("alex", password="correct horse", is_staff=True)
        self.group = Group.objects.create(name="Interns")
        self.api_key, self.client_of_key = self.issue(name="CI pipeline")
        self.clock.shift(timedelta(minutes=15))

    def stale(self) -> Client:
        browser = Client()
        log_in(browser, self.sam)
        session = browser.session
        session["proved_at"] = 0
        session.save()
        return browser

    def forms(self) -> dict[str, tuple[str, dict[str, Any], str, str]]:
        """Return for each form its address, what is typed, what of that is kept, and its event."""
        ours = f"?organization={self.acme.pk}"
        user, group = f"{USERS}{self.alex.pk}/", f"{GROUPS}{self.group.pk}/"
        look = str(Permission.objects.get(codename="view_apikey").pk)
        typed = {"keys": self.api_key.pk, "category": "left", "reason": "spring cleaning"}
        page = page_of(KEYS, self.api_key.pk, "rotate")
        rotation = filled_in(self.browser, page, overlap="604800", reason="asked for")
        new = {"username": "robin", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        return {
            "rotate": (page, rotation, "604800", "rotated"),
            "issue": (f"{KEYS}add/", self.form(name="Nightly"), "Nightly", "issued"),
            "bulk": (
                f"{KEYS}bulk/revoke/{ours}",
                typed,
                "spring cleaning",
                "revoked",
            ),
            "add user": (f"{USERS}add/", {**new, "usable_password": "true"}, "robin", "created"),
            "user": (
                f"{user}change/",
                {"username": "alexis", "is_active": "on", "is_staff": "on"},
                "alexis",
                "changed",
            ),
            "reset": (f"{user}reset_second_factor/", {"reason": "lost"}, "lost", "factor_reset"),
            "add group": (f"{GROUPS}add/", {"name": "Night shift"}, "Night shift", "created"),
            "group": (
                f"{group}change/",
                {"name": "Day shift", "permissions": [look]},
                "Day shift",
                "changed",
            ),
            "delete group": (f"{group}delete/", {"post": "yes"}, "yes", "deleted"),
            "export": (f"{EVENTS}export/?q=CI", {"format": "csv"}, "CI", "exported"),
        }

    def send(self, browser: Client, url: str, fields: dict[str, Any]) -> Answer:
        answer: Answer = browser.post(url, fields)
        if answer.streaming:
            list(answer.streaming_content)
        return answer


class ProofTests(ProofTestCase):
    def test_form_with_an_old_proof_comes_back_as_typed_and_is_carried_out_with_a_new_one(self):
        SecondFactor.objects.create(user=self.alex, key=SecondFactor.new_key())
        for what, (url, typed, kept, done) in self.forms().items():
            with self.subTest(what):
                browser = self.stale()
                before = set(AuditEvent.objects.values_list("pk", "action"))
                for wrong in ({}, {"proof-password": "wrong horse"}):
                    page = self.send(browser, url, {**typed, **wrong})
                    self.assertContains(page, ASKED)
                    self.assertContains(page, kept)
                    self.assertEqual(WRONG in page.content.decode(), bool(wrong))
                    self.assertIn("no-store", page["Cache-Control"])
                    for secret in (NEW_PASSWORD, "wrong horse"):
                        self.assertNotIn(secret, unescape(page.content.decode()))
                    self.assertEqual(AuditEvent.objects.count(), len(before))
                    self.assertNotIn(kept, str(browser.session.items()))

                answer = self.send(browser, url, {**typed, **PROOF})
                if answer.status_code == 200 and not answer.streaming:
                    self.assertNotContains(answer, ASKED)
                ((_, action),) = set(AuditEvent.objects.values_list("pk", "action")) - before
                self.assertIn(done, action)

    def test_form_that_came_back_loses_no_value_if_sent_with_the_proof(self):
        """The page must hold everything that a browser would send."""
        url = page_of(KEYS, self.api_key.pk, "rotate")
        browser = self.stale()
        page = browser.get(url).content.decode()
        ((_, fields),) = [form for form in PostForms(page).forms if "seen" in form[1]]
        browser.post(url, {**fields, "reason": "asked for", **PROOF})
        self.assertEqual(AuditEvent.objects.filter(action="api_key.rotated").count(), 1)

    def test_form_that_came_back_shows_no_key_password_or_code(self):
        key = new_plaintext(livemode=True)
        spaced = f"{key[:30]} {key[30:]}"
        texts = dict.fromkeys(("name", "reason", "first_name", "sso_name"), f"see {spaced}")
        chosen = dict.fromkeys(("organization", "overlap", "category", "scopes", "groups"), key)
        secrets = {"code": "123456", "password1": key, "new_password1": "staple"}
        for what, (url, typed, _, _) in self.forms().items():
            for typed_in in (texts, chosen):
                for is_stale in (True, False):
                    log_in(browser := Client(), self.sam)
                    browser = self.stale() if is_stale else browser
                    if not is_stale and what in ("delete group", "export"):
                        continue  # They hold nothing that could be refused.
                    with self.subTest(what, is_stale=is_stale, typed=list(typed_in)):
                        page = self.send(browser, url, typed | typed_in | secrets)
                        shown = unescape(page.content.decode())
                        for secret in (key, spaced, key[-38:], 'value="123456"', "staple"):
                            self.assertNotIn(secret, shown)
                        self.assertNotIn(key[17:], str(browser.session.items()))
        with connection.cursor() as cursor:
            for table in ("django_session", "staff_user", "auth_group", "apikeys_apikey"):
                cursor.execute(f"SELECT t::text FROM {table} t")
                self.assertNotIn(key[17:], str(cursor.fetchall()).replace(" ", ""))

    def test_form_opened_with_an_old_proof_asks_for_it_from_the_start(self):
        browser = self.stale()
        for what, (url, *_) in self.forms().items():
            page = browser.get(url, follow=True).content.decode()
            with self.subTest(what):
                self.assertEqual(page.count(ASKED), what != "export")
        self.assertEqual(self.browser.get(KEYS).content.decode().count(ASKED), 0)

    def test_proof_is_asked_after_exactly_15_minutes(self):
        log_in(browser := Client(), self.sam)
        self.clock.shift(timedelta(minutes=15) - timedelta(seconds=1))
        self.assertNotContains(browser.get(f"{KEYS}add/"), ASKED)
        self.clock.shift(timedelta(seconds=1))
        self.assertContains(browser.get(f"{KEYS}add/"), ASKED)

    def test_form_with_another_fault_keeps_the_proof(self):
        browser = self.stale()
        page = browser.post(f"{KEYS}add/", {**self.form(name=""), **PROOF})
        self.assertContains(page, "This field is required")
        self.assertNotContains(page, ASKED)
        self.assertEqual(browser.post(f"{KEYS}add/", self.form()).status_code, 200)
        self.assertEqual(AuditEvent.objects.filter(action="api_key.issued").count(), 2)

    def test_wrong_proofs_count_towards_the_lockout_of_the_log_in(self):
        url, typed, *_ = self.forms()["rotate"]
        browser = self.stale()
        for _ in range(MOST_TRIES):
            browser.post(url, {**typed, "proof-password": "wrong"})
        self.assertContains(browser.post(url, {**typed, **PROOF}), LOCKED)
        self.assertContains(try_password("correct horse"), LOCKED)
        self.assertEqual(len(events("staff.locked_out")), 1)

    def test_wrong_old_passwords_count_towards_the_lockout_even_with_a_fresh_proof(self):
        log_in(browser := Client(), self.sam)
        new = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
        for _ in range(MOST_TRIES):
            browser.post(CHANGE_PASSWORD, {"old_password": "wrong", **new})
        answer = browser.post(CHANGE_PASSWORD, {"old_password": "correct horse", **new})
        self.assertContains(answer, LOCKED, status_code=403)
        self.sam.refresh_from_db()
        self.assertTrue(self.sam.check_password("correct horse"))

    def test_empty_or_another_accounts_password_is_no_proof(self):
        User.objects.create_superuser("kim", password="another horse")
        url, typed, *_ = self.forms()["rotate"]
        for password, said in (("", "This field is required"), ("another horse", WRONG)):
            answer = self.stale().post(url, {**typed, "proof-password": password})
            self.assertContains(answer, said)
        self.assertEqual(AuditEvent.objects.filter(action="api_key.rotated").count(), 0)

    def test_password_alone_is_no_proof_with_a_second_factor(self):
        url, typed, *_ = self.forms()["rotate"]
        app, codes = set_up(self.sam)
        browser = self.stale()
        self.assertContains(browser.get(url), 'name="proof-code"')
        for proof, said in (
            (PROOF, "This field is required"),
            ({"proof-code": codes[0]}, "This field is required"),
            ({**PROOF, "proof-code": "000000"}, "not the current code"),
            ({"proof-password": "wrong", "proof-code": codes[0]}, WRONG),
        ):
            answer = browser.post(url, {**typed, **proof})
            self.assertContains(answer, said)
            self.assertContains(answer, 'name="proof-code"')
            self.assertNotContains(answer, proof.get("proof-code", "correct horse"))
        self.clock.shift(timedelta(minutes=1))
        browser.post(url, {**typed, **PROOF, "proof-code": code_of(app.bin_key)})
        self.assertEqual(AuditEvent.objects.filter(action="api_key.rotated").count(), 1)

    def test_log_in_is_a_proof_and_another_session_is_none(self):
        browser, other = Client(), Client()
        try_password("correct horse", browser=browser)
        self.assertNotContains(browser.get(f"{KEYS}add/"), ASKED)
        other.force_login(self.sam)
        self.assertContains(other.get(f"{KEYS}add/"), ASKED)

    def test_read_only_page_of_an_account_asks_for_no_proof(self):
        self.alex.groups.set(Group.objects.filter(name="Auditors"))
        self.browser.force_login(self.alex)
        page = self.browser.get(f"{USERS}{self.sam.pk}/change/")
        self.assertEqual((page.status_code, ASKED in page.content.decode()), (200, False))


class ProofFirstTests(ProofTestCase):
    """Pages that hold nothing but secrets are shown after the proof."""

    def test_proof_is_asked_before_a_page_of_secrets(self):
        for url in (
            "/admin/password_change/",
            "/admin/second_factor/set_up/?next=/admin/apikeys/",
            f"{USERS}{self.alex.pk}/password/",
        ):
            with self.subTest(url):
                browser = self.stale()
                secret = {"new_password1": "staple", "password1": "staple", "code": "123456"}
                for page in (browser.get(url), browser.post(url, secret)):
                    self.assertContains(page, ASKED)
                    self.assertNotContains(page, "new_password1")
                    self.assertNotContains(page, "<svg role")
                    for typed in ("staple", "123456"):
                        self.assertNotContains(page, typed)
                self.assertContains(browser.post(url, {"proof-password": "x"}), WRONG)
                self.assertRedirects(browser.post(url, PROOF), url)

    def test_new_recovery_codes_are_shown_by_the_proof_itself(self):
        url = "/admin/second_factor/recovery_codes/"
        _, codes = set_up(self.sam)
        browser = self.stale()
        ((_, fields),) = [
            form
            for form in PostForms(browser.get("/admin/second_factor/").content.decode()).forms
            if form[0] == url
        ]
        page = browser.post(url, fields)
        self.assertContains(page, ASKED)
        ((_, carried),) = [f for f in PostForms(page.content.decode()).forms if "make" in f[1]]
        self.assertContains(browser.post(url, {**carried, **PROOF}), ASKED)
        proof = {**PROOF, "proof-code": codes[0]}
        self.assertContains(browser.post(url, {**carried, **proof}), "Your recovery codes")
