"""Tests of passkeys as a log-in, a second factor and a proof, and of each address misused."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client, override_settings

from apikeys.plaintext import new_plaintext
from audit.actor import Actor
from audit.models import AuditEvent
from staff.login import factors
from staff.login.factors import REFUSED
from staff.login.lockout import LOCKED_OUT, MOST_TRIES
from staff.models import Passkey, RecoveryCode, SecondFactor, User
from tests.staff.test_second_factor import (
    CODE,
    KEYS,
    RECOVERY_CODE,
    SET_UP,
    FactorTestCase,
    code_of,
    secret_on,
    set_up,
)
from tests.support.authenticator import HOLDS_KEY, PRESENT, VERIFIED, Authenticator
from tests.support.cast import Answer
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.staff import log_in

CHALLENGE, LOG_IN = "/admin/passkeys/challenge/", "/admin/passkeys/log_in/"
ADD = "/admin/passkeys/add/"

TOO_LATE = "That took longer than five minutes, or was sent before"
# A client at the address of the passkeys (the relying party).
a_client = partial(Client, HTTP_HOST="localhost:8000")


def give_passkey(user: User, name: str = "Laptop", **kind: Any) -> Authenticator:
    """Make a passkey of the user's; return its authenticator."""
    authenticator = Authenticator(**kind)
    options = Passkey.creation_options(user)
    made = Passkey.made_by(user, name, authenticator.make(options), options["challenge"])
    assert made
    made.save()
    return authenticator


def passkey_log_in(browser: Client, authenticator: Authenticator, **other: Any) -> Answer:
    credential = authenticator.show(browser.post(CHALLENGE).json(), **other)
    answer: Answer = browser.post(LOG_IN, {"credential": credential, "next": KEYS})
    return answer


def add_passkey(browser: Client, authenticator: Authenticator, **other: Any) -> Answer:
    options = browser.post(ADD, {"name": other.pop("name", "Laptop")}).json()
    sent = {"credential": authenticator.make(options, **other), "next": KEYS}
    answer: Answer = browser.post(ADD, sent)
    return answer


class PasskeyTestCase(FactorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.browser = a_client()

    def inside(self) -> Client:
        """Return a browser in which Sam has just logged in."""
        log_in(self.browser, self.sam)
        return self.browser

    def half_way(self) -> Client:
        self.type_password()
        return self.browser

    def assertShut(self, answer: Answer, text: str = REFUSED) -> None:
        self.assertIn("/admin/login/", answer["Location"])
        self.assertIn(text, str([str(said) for said in get_messages(answer.wsgi_request)]))
        self.assertFalse(answer.wsgi_request.user.is_authenticated)

    def changes(self, action: str) -> list[Any]:
        found = AuditEvent.objects.filter(organization_id="service", action=action)
        return list(found.order_by("sequence").values_list("changes", flat=True))


@override_settings(SECOND_FACTOR_REQUIRED=True)
class LogInTests(PasskeyTestCase):
    def test_passkey_alone_logs_in_under_a_new_session_and_is_an_event(self):
        phone = give_passkey(self.sam)
        self.browser.post(CHALLENGE)
        before = self.browser.session.session_key
        self.assertRedirects(passkey_log_in(self.browser, phone), KEYS)
        self.assertInside()
        self.assertNotEqual(self.browser.session.session_key, before)
        self.assertEqual(self.browser.session.get_expiry_age(), 8 * 60 * 60)
        self.assertEqual(self.recorded(), ["staff.logged_in"])
        self.assertEqual(self.changes("staff.logged_in"), [{"way": [None, "passkey"]}])
        self.assertIsNotNone(Passkey.objects.get().last_used_at)

    def test_log_in_page_offers_passkeys_only_at_their_own_address(self):
        for host, shown, hidden in (
            ("localhost:8000", CHALLENGE, "http://localhost:8000/admin/login/"),
            ("127.0.0.1:8000", "http://localhost:8000/admin/login/?next=/admin/", CHALLENGE),
        ):
            page = Client(HTTP_HOST=host).get("/admin/login/?next=/admin/").content.decode()
            self.assertIn(shown, page)
            self.assertNotIn(hidden, page)

    def test_passkey_challenge_names_no_passkey_and_its_session_is_short(self):
        give_passkey(self.sam)
        options = self.browser.post(CHALLENGE).json()
        self.assertEqual(options["allowCredentials"], [])
        self.assertEqual(options["userVerification"], "required")
        self.assertEqual(self.browser.session.get_expiry_age(), 300)
        self.clock.shift(timedelta(seconds=301))
        a_client().post(CHALLENGE)
        self.assertEqual(Session.objects.count(), 1)

    def test_session_that_goes_on_with_the_password_lasts_the_usual_time(self):
        with override_settings(SECOND_FACTOR_REQUIRED=False):
            self.browser.post(CHALLENGE)
            self.type_password()
        self.assertEqual(self.browser.session.get_expiry_age(), 8 * 60 * 60)

    def test_passkey_answer_that_differs_from_the_challenge_is_refused(self):
        phone, stranger = give_passkey(self.sam), Authenticator()
        table: dict[str, dict[str, Any]] = {
            "origin": {"origin": "https://localhost:8000"},
            "other host": {"origin": "http://evil.example", "party": "evil.example"},
            "relying party": {"party": "127.0.0.1"},
            "no user verification": {"flags": PRESENT},
            "nobody present": {"flags": VERIFIED},
            "broken flags": {"flags": PRESENT | VERIFIED | HOLDS_KEY},
            "challenge": {"challenge": "AAAA"},
            "no challenge": {"challenge": ""},
            "a made passkey": {"ceremony": "webauthn.create"},
            "signature": {"key": ec.generate_private_key(ec.SECP256R1())},
        }
        for what, other in table.items():
            with self.subTest(what):
                self.assertShut(passkey_log_in(self.browser, phone, **other))
                passkey_log_in(a_client(REMOTE_ADDR="10.0.0.1"), phone)  # Resets the failures.
        self.assertShut(passkey_log_in(self.browser, stranger))
        self.assertEqual(self.changes("staff.passkey_refused"), [])

    def test_malformed_passkey_answer_is_refused(self):
        give_passkey(self.sam)
        wrong: tuple[Any, ...] = ("é", "A", "\ud800", 5, None, "AAAA", [])
        right = json.loads(Authenticator().show(self.browser.post(CHALLENGE).json()))
        inner = right["response"]
        for broken in (
            *("{", "[" * 9_000, "5", '"a"', "null", "\ud800".encode("utf-8", "replace")),
            *({**right, key: value} for key in right for value in wrong),
            *({**right, "response": {**inner, key: value}} for key in inner for value in wrong),
        ):
            with self.subTest(str(broken)[:60]):
                browser = a_client(REMOTE_ADDR=f"10.0.0.{id(broken) % 250}")
                browser.post(CHALLENGE)
                sent = json.dumps(broken) if isinstance(broken, dict) else broken
                self.assertShut(browser.post(LOG_IN, {"credential": sent}))

    def test_passkey_of_an_inactive_or_non_staff_account_is_refused(self):
        phone = give_passkey(self.sam)
        for field in ("is_active", "is_staff"):
            User.objects.filter(pk=self.sam.pk).update(**{field: False})
            with self.subTest(field):
                self.assertShut(passkey_log_in(self.browser, phone))
            User.objects.filter(pk=self.sam.pk).update(**{field: True})

    def test_passkey_challenge_holds_once_for_five_minutes_in_its_session(self):
        phone = give_passkey(self.sam)
        options = self.browser.post(CHALLENGE).json()
        sent = {"credential": phone.show(options)}
        self.assertShut(a_client().post(LOG_IN, sent), TOO_LATE)
        other = a_client()
        other.post(CHALLENGE)
        self.assertShut(other.post(LOG_IN, sent))
        self.assertEqual(self.browser.post(LOG_IN, sent).status_code, 302)
        self.browser.post("/admin/logout/")
        self.assertShut(self.browser.post(LOG_IN, sent), TOO_LATE)

        options = self.browser.post(CHALLENGE).json()
        self.clock.shift(timedelta(seconds=300))
        self.assertShut(self.browser.post(LOG_IN, {"credential": phone.show(options)}), TOO_LATE)

    def test_failed_passkeys_count_with_wrong_passwords_towards_the_lockout(self):
        phone = give_passkey(self.sam)
        for _ in range(MOST_TRIES - 1):
            self.browser.post("/admin/login/", {"username": "sam", "password": "wrong"})
        for how in ({"flags": PRESENT}, {}):  # The tenth failure, and a right answer after it.
            self.assertShut(passkey_log_in(self.browser, phone, **how), LOCKED_OUT)
        self.assertEqual(self.recorded(), ["staff.locked_out"])
        answer = passkey_log_in(a_client(REMOTE_ADDR="10.0.0.1"), phone)
        self.assertEqual(answer.status_code, 302)

    def test_passkey_counter_that_goes_backwards_is_refused_and_recorded(self):
        key = give_passkey(self.sam, counts=True)
        self.assertEqual(passkey_log_in(a_client(), key).status_code, 302)
        for count in (2, 1, 0):
            self.assertShut(passkey_log_in(self.browser, key, count=count))
        forged = {"count": 0, "key": ec.generate_private_key(ec.SECP256R1())}
        self.assertShut(passkey_log_in(self.browser, key, **forged))
        found = [change["sign_count"] for change in self.changes("staff.passkey_refused")]
        self.assertEqual(found, [[2, 2], [2, 1], [2, 0]])
        self.assertEqual(passkey_log_in(a_client(), key, count=9).status_code, 302)

    def test_passkey_log_in_replaces_a_session_of_another_account(self):
        phone = give_passkey(User.objects.create_user("alex", is_staff=True))
        log_in(self.browser, self.sam)
        mark = self.browser.session["began_at"]
        self.browser.session.save()
        options = Passkey.request_options()
        session = self.browser.session
        session["passkey_challenge"] = [options["challenge"], mark, ""]
        session.save()
        self.browser.post(LOG_IN, {"credential": phone.show(options), "next": KEYS})
        self.assertEqual(self.changes("staff.logged_in"), [{"way": [None, "passkey"]}])
        self.assertContains(self.browser.get("/admin/"), "alex")


@override_settings(SECOND_FACTOR_REQUIRED=True)
class SecondFactorTests(PasskeyTestCase):
    def show(self, authenticator: Authenticator, **other: Any) -> Answer:
        options = self.browser.post(CHALLENGE).json()
        sent = {"credential": authenticator.show(options, **other), "code": "", "next": KEYS}
        answer: Answer = self.browser.post(CODE, sent)
        return answer

    def test_passkey_after_the_password_completes_the_log_in(self):
        phone = give_passkey(self.sam)
        self.assertContains(self.half_way().get(CODE), "Use a passkey")
        self.assertOutside()
        options = self.browser.post(CHALLENGE).json()
        self.assertEqual(options["allowCredentials"], [])
        self.assertRedirects(self.show(phone), KEYS)
        self.assertEqual(self.changes("staff.logged_in"), [{"way": [None, "password and passkey"]}])

    def test_refused_passkey_leaves_the_log_in_half_done(self):
        phone = give_passkey(self.sam)
        other = give_passkey(User.objects.create_user("alex", is_staff=True))
        self.half_way()
        for authenticator, how in ((other, {}), (phone, {"flags": PRESENT}), (phone, {"count": 9})):
            self.show(authenticator, **how) if "count" not in how else self.browser.post(
                CODE, {"credential": "{}", "code": ""}
            )
            self.assertOutside()
        self.assertIn("_auth_user_id", self.browser.session)

    def test_account_with_passkeys_only_gets_in_by_recovery_code_and_cannot_set_up_an_app(self):
        give_passkey(self.sam)
        code = RecoveryCode.renew(self.sam)[0]
        self.half_way()
        for url in (SET_UP, ADD):
            for call in (self.browser.get, self.browser.post):
                self.assertTrue(call(url)["Location"].startswith(CODE), url)
        self.assertContains(self.type_code("123456"), "not the current code")
        self.assertRedirects(self.type_code(code), KEYS)
        self.assertEqual(self.changes("staff.logged_in"), [{"way": [None, "password and code"]}])

    def test_first_passkey_is_made_at_the_first_log_in_with_recovery_codes(self):
        self.assertContains(self.half_way().get(SET_UP), f"{ADD}?next=/admin/")
        phone = Authenticator()
        answer = add_passkey(self.browser, phone)
        self.assertEqual(len(RECOVERY_CODE.findall(answer.content.decode())), 10)
        self.assertInside()
        self.assertEqual(self.recorded(), ["staff.passkey_added", "staff.logged_in"])
        self.assertEqual(self.changes("staff.passkey_added"), [{"passkey": [None, "Laptop"]}])
        self.assertEqual(passkey_log_in(a_client(), phone).status_code, 302)

    def test_app_and_passkey_set_up_concurrently_leave_the_first_only(self):
        other = a_client()
        for browser in (self.browser, other):
            self.type_password(browser)
        secret = secret_on(self.browser.get(SET_UP))
        options = other.post(ADD, {"name": "Phone"}).json()
        sent = {"credential": Authenticator().make(options)}
        self.browser.post(SET_UP, {"code": code_of(secret)})
        self.assertIn("/admin/login/", other.post(ADD, sent)["Location"])
        self.assertFalse(Passkey.objects.exists())
        factors.reset(self.sam, actor=Actor.cli(), reason="r")

        begun = SecondFactor(user=self.sam, key=SecondFactor.new_key())
        give_passkey(self.sam)
        User.objects.get(pk=self.sam.pk).end_sessions()
        self.assertIsNone(factors.confirm(begun, code_of(begun.bin_key)))


class OwnPasskeysTests(PasskeyTestCase):
    def page(self, slug: str) -> str:
        return f"/admin/passkeys/{Passkey.objects.latest('pk').pk}/{slug}/"

    def test_passkeys_can_be_added_renamed_and_removed_with_an_event_and_a_mail_each(self):
        self.sam.email = "sam@example.com"
        self.sam.save()
        browser = self.inside()
        with self.captureOnCommitCallbacks(execute=True):
            add_passkey(browser, Authenticator(), name="Laptop")
            self.assertRedirects(add_passkey(browser, Authenticator(), name="  Phone "), KEYS)
            self.assertRedirects(browser.post(self.page("rename"), {"name": "Old phone"}), CODE)
            self.assertContains(browser.get(CODE), "Old phone")
            self.assertRedirects(browser.post(self.page("remove")), CODE)
        done = {
            "the passkey Laptop was added": [None, "Laptop"],
            "the passkey Phone was added": [None, "Phone"],
            "the passkey Phone was renamed to Old phone": ["Phone", "Old phone"],
            "your passkey Old phone was removed": ["Old phone", None],
        }
        events = AuditEvent.objects.filter(action__startswith="staff.passkey_")
        changes = events.order_by("sequence").values_list("changes", flat=True)
        self.assertEqual(list(changes), [{"passkey": change} for change in done.values()])
        self.assertEqual([sent.subject.partition(": ")[2] for sent in mail.outbox], list(done))
        self.assertEqual(Passkey.objects.get().name, "Laptop")

    def test_invalid_passkey_name_is_refused_before_the_passkey_is_made(self):
        browser = self.inside()
        give_passkey(self.sam)
        for name in ("", " ", "x" * 61, "a\nb", "\u202e", new_plaintext(livemode=True)):
            with self.subTest(name):
                answer = browser.post(ADD, {"name": name})
                self.assertEqual(answer.status_code, 422)
                self.assertIn("The name", answer.json()["error"])
                answer = browser.post(self.page("rename"), {"name": name}, follow=True)
                self.assertContains(answer, "The name")
                self.assertEqual(Passkey.objects.get().name, "Laptop")

    def test_passkey_made_otherwise_than_asked_is_not_stored(self):
        browser = self.inside()
        known = give_passkey(self.sam)
        table: dict[str, dict[str, Any]] = {
            "origin": {"origin": "http://evil.example"},
            "relying party": {"party": "evil.example"},
            "no user verification": {"flags": PRESENT},
            "challenge": {"challenge": "AAAA"},
            "a shown passkey": {"ceremony": "webauthn.get"},
        }
        for what, other in table.items():
            with self.subTest(what):
                self.assertContains(add_passkey(browser, Authenticator(), **other), "valid answer")
        self.assertContains(add_passkey(browser, known), "known here already")
        for broken in ("{", "[" * 9_000, "{}", "", "x" * 20_000):
            browser.post(ADD, {"name": "Phone"})
            self.assertContains(browser.post(ADD, {"credential": broken}), "Try again")
        # A challenge of a log-in cannot be used to make a passkey.
        options = {**Passkey.creation_options(self.sam), **browser.post(CHALLENGE).json()}
        sent = {"credential": Authenticator().make(options)}
        self.assertContains(browser.post(ADD, sent), "valid answer")
        self.assertEqual(Passkey.objects.count(), 1)

    def test_passkey_addresses_are_shut_to_anonymous_half_logged_in_and_ended_sessions(self):
        alex = User.objects.create_user("alex", is_staff=True)
        give_passkey(alex)
        theirs = [self.page("rename"), self.page("remove")]
        give_passkey(self.sam)
        mine = [self.page("rename"), self.page("remove")]
        half_way, over, customer = a_client(), a_client(), a_client()
        with override_settings(SECOND_FACTOR_REQUIRED=True):
            half_way.force_login(self.sam)
        log_in(over, self.sam)
        customer.force_login(User.objects.create_user("nobody"))
        self.clock.shift(timedelta(minutes=30))
        for browser in (a_client(), over, customer):
            for url in (ADD, *mine):
                for call in (browser.get, browser.post):
                    answer = call(url, {"name": "x", "credential": "{}"})
                    self.assertIn("/admin/login/", answer.get("Location", ""), url)
        for url in mine:
            self.assertIn("/admin/login/", half_way.post(url, {"name": "x"})["Location"])
        for url in (CHALLENGE, LOG_IN, *mine):
            self.assertEqual(self.inside().get(url).status_code, 405)
        for url in theirs:
            self.browser.post(url, {"name": "x"})
        self.assertEqual(list(Passkey.objects.values_list("name", flat=True)), ["Laptop"] * 2)

    def test_passkey_changes_need_a_proof_after_fifteen_minutes_and_a_passkey_is_one(self):
        phone = give_passkey(self.sam)
        browser = self.inside()
        self.clock.shift(timedelta(minutes=15))
        page = self.page("rename")
        for url in (page, self.page("remove")):
            answer = browser.post(url, {"name": "Phone"})
            self.assertContains(answer, 'name="proof-credential"')
            self.assertContains(answer, 'value="Phone"')
        self.assertIn("proof-", browser.post(ADD, {"name": "x"}).content.decode())
        for how, wanted in (({"flags": PRESENT}, REFUSED), ({}, "")):
            credential = phone.show(browser.post(CHALLENGE).json(), **how)
            sent = {"name": "Phone", "proof-credential": credential, "proof-password": ""}
            answer = browser.post(page, sent)
            self.assertIn(wanted, answer.content.decode())
        self.assertRedirects(answer, CODE)
        self.assertEqual(Passkey.objects.get().name, "Phone")

    def test_removing_a_passkey_ends_the_other_sessions(self):
        phone = give_passkey(self.sam)
        give_passkey(self.sam)
        for left in (1, 0):
            other = a_client()
            passkey_log_in(other, phone)
            self.inside().post(self.page("remove"))
            self.assertOutside(other)
            self.assertInside()
            self.sam.refresh_from_db()
            self.assertEqual(Passkey.objects.count(), left)
        self.assertFalse(RecoveryCode.objects.exists())
        self.assertShut(passkey_log_in(a_client(), phone), REFUSED)

    @override_settings(SECOND_FACTOR_REQUIRED=True)
    def test_only_second_factor_cannot_be_removed_if_one_is_required(self):
        phone = give_passkey(self.sam)
        passkey_log_in(self.browser, phone)
        answer = self.browser.post(self.page("remove"), follow=True)
        self.assertContains(answer, "Add another one first")
        self.assertInside()
        set_up(self.sam)
        self.sam.refresh_from_db()
        self.inside().post(self.page("remove"))
        self.assertFalse(Passkey.objects.exists())

    def test_reset_and_deactivation_delete_passkeys_and_end_sessions(self):
        alex = User.objects.create_user("alex", is_staff=True)
        user_page = f"/admin/staff/user/{alex.pk}/"
        shown = {
            "username": "alex",
            "is_staff": "on",
            "first_name": "",
            "last_name": "",
            "email": "",
        }
        for url, sent, action in (
            (f"{user_page}reset_second_factor/", {"reason": "lost"}, "staff.second_factor_reset"),
            (f"{user_page}change/", shown, "staff.second_factor_reset"),
        ):
            with self.subTest(action):
                theirs = a_client()
                phone = give_passkey(alex)
                passkey_log_in(theirs, phone)
                self.assertEqual(theirs.get("/admin/").status_code, 200)
                self.assertEqual(self.inside().post(url, sent).status_code, 302)
                self.assertOutside(theirs)
                self.assertFalse(Passkey.objects.exists())
                self.assertEqual(
                    self.changes(action)[-1], {"second_factor": ["passkey Laptop", None]}
                )


class PasskeyRaceTests(CommittedTestCase):
    def test_one_challenge_answered_twice_concurrently_lets_in_once(self):
        phone = give_passkey(self.sam)
        browser = a_client()
        sent = {"credential": phone.show(browser.post(CHALLENGE).json())}
        browsers = [a_client(), a_client()]
        for other in browsers:
            other.cookies.update(browser.cookies)
        in_threads(*(lambda other=other: other.post(LOG_IN, sent) for other in browsers))
        inside = [other.get("/admin/").status_code == 200 for other in browsers]
        self.assertEqual(inside.count(True), 1)
