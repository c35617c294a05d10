"""Tests of events on staff accounts, groups and passwords in the service's own audit log."""

import io
from functools import partial
from typing import Any
from unittest import mock

from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command

from audit.models import SERVICE, AuditEvent, AuditHead
from staff.models import User
from tests.support.cast import ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.staff import log_in, member_of
from tests.support.tampering import AUDIT_TABLES, CHANGED, VerifyTestCase

USERS, GROUPS = "/admin/staff/user/", "/admin/auth/group/"
PASSWORD = "a new horse every day"


def rights_form(user: User, **fields: object) -> dict[str, object]:
    """Return the form on an account's page as a browser would send it; `fields` override."""
    sent: dict[str, object] = {
        "username": user.username,
        "first_name": "",
        "last_name": "",
        "email": "",
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "groups": list(user.groups.values_list("pk", flat=True)),
        "user_permissions": [],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        **fields,
    }
    return {name: value for name, value in sent.items() if value is not False}


class StaffAuditTestCase(ApiTestCase):
    def setUp(self) -> None:
        self.browser = self.staff()
        self.alex = member_of("Key managers")

    def events(self, action: str) -> list[AuditEvent]:
        events = AuditEvent.objects.filter(organization_id=SERVICE, action=action)
        return list(events.order_by("sequence"))

    def event(self, action: str) -> AuditEvent:
        (event,) = self.events(action)
        return event

    def change(self, user: User, **fields: object) -> None:
        url = f"{USERS}{user.pk}/change/"
        response = self.browser.post(url, rights_form(user, **fields))
        self.assertEqual(response.status_code, 302, response.content.decode()[:3000])


class AccountTests(StaffAuditTestCase):
    def test_new_account_and_its_rights_are_two_events_naming_the_superuser(self):
        form = {"username": "kim", "password1": PASSWORD, "password2": PASSWORD}
        self.browser.post(f"{USERS}add/", {**form, "usable_password": "true"})
        kim = User.objects.get(username="kim")
        created = self.events("staff.created")[-1]
        self.assertEqual((created.actor_label, created.target_id), ("sam", str(kim.pk)))
        self.assertEqual(created.changes["is_superuser"], [None, False])
        self.assertEqual(created.ip, "127.0.0.1")

        auditors = Group.objects.get(name="Auditors")
        right = Permission.objects.get(codename="revoke_apikey")
        self.change(kim, is_staff=True, groups=[auditors.pk], user_permissions=[right.pk])
        self.assertEqual(
            self.event("staff.changed").changes,
            {
                "is_staff": [False, True],
                "groups": [[], ["Auditors"]],
                "permissions": [[], ["apikeys.revoke_apikey"]],
            },
        )

    def test_deactivation_and_removed_groups_are_an_event(self):
        self.change(self.alex, is_active=False, groups=[])
        self.assertEqual(
            self.event("staff.changed").changes,
            {"is_active": [True, False], "groups": [["Key managers"], []]},
        )

    def test_change_of_no_right_writes_no_event(self):
        self.change(self.alex, first_name="Alex", email="alex@reachscore.example")
        self.assertEqual(self.events("staff.changed"), [])

    def test_staff_events_hold_no_password_hash_or_e_mail_address(self):
        self.change(self.alex, is_superuser=True, email="alex@reachscore.example")
        form = {"password1": PASSWORD, "password2": PASSWORD, "set-password": "1"}
        self.browser.post(f"{USERS}{self.alex.pk}/password/", {**form, "usable_password": "true"})
        self.alex.refresh_from_db()
        everything = str(list(AuditEvent.objects.values()))
        self.assertTrue(self.alex.check_password(PASSWORD))
        for secret in (PASSWORD, self.alex.password, "alex@reachscore.example"):
            self.assertNotIn(secret, everything)

    def test_password_set_by_another_is_an_event_and_a_refused_one_is_not(self):
        url = f"{USERS}{self.alex.pk}/password/"
        for password in ("short", "password1234", PASSWORD):
            form = {"password1": password, "password2": password, "usable_password": "true"}
            self.browser.post(url, form)
        event = self.event("staff.password_changed")
        self.assertEqual((event.actor_label, event.target_id), ("sam", str(self.alex.pk)))
        self.assertEqual(event.changes, {})

    def test_account_cannot_be_deleted(self):
        url = f"{USERS}{self.alex.pk}/delete/"
        self.assertEqual(self.browser.post(url, {"post": "yes"}).status_code, 403)
        self.browser.post(USERS, {"action": "delete_selected", "_selected_action": self.alex.pk})
        self.assertTrue(User.objects.filter(pk=self.alex.pk).exists())

    def test_account_change_that_cannot_be_recorded_is_rolled_back(self):
        self.browser.raise_request_exception = False
        with mock.patch("audit.models.AuditEvent.save", side_effect=RuntimeError):
            sent = rights_form(self.alex, is_superuser=True)
            response = self.browser.post(f"{USERS}{self.alex.pk}/change/", sent)
        self.assertEqual(response.status_code, 500)
        self.alex.refresh_from_db()
        self.assertIs(self.alex.is_superuser, False)

    def test_only_superusers_can_edit_accounts_even_with_the_permission(self):
        """Otherwise staff could grant rights that they do not have."""
        rights = Permission.objects.filter(codename__in=("change_user", "add_user", "view_user"))
        self.alex.user_permissions.set(rights)
        log_in(self.browser, self.alex)
        page = f"{USERS}{self.alex.pk}/change/"
        sent = rights_form(self.alex, is_superuser=True)
        self.assertEqual(self.browser.post(page, sent).status_code, 403)
        self.assertEqual(self.browser.get(f"{USERS}add/").status_code, 403)
        self.alex.refresh_from_db()
        self.assertIs(self.alex.is_superuser, False)

    def test_account_page_for_viewers_shows_nothing_of_the_hash(self):
        log_in(self.browser, member_of("Auditors"))
        page = self.browser.get(f"{USERS}{self.alex.pk}/change/").content.decode()
        self.assertIn(self.alex.username, page)
        for part in ("md5", "salt", "hash", f"{self.alex.pk}/password/"):
            self.assertNotIn(part, page.lower().replace("csrf", ""))


class GroupTests(StaffAuditTestCase):
    def test_change_of_a_groups_permissions_is_an_event(self):
        issue, revoke = (
            Permission.objects.get(codename=name) for name in ("issue_apikey", "revoke_apikey")
        )
        self.browser.post(f"{GROUPS}add/", {"name": "Night shift", "permissions": [revoke.pk]})
        group = Group.objects.get(name="Night shift")
        self.assertEqual(
            self.event("group.created").changes,
            {"name": [None, "Night shift"], "permissions": [None, ["apikeys.revoke_apikey"]]},
        )
        both = ["apikeys.issue_apikey", "apikeys.revoke_apikey"]
        form = {"name": "Night shift", "permissions": [issue.pk, revoke.pk]}
        self.browser.post(f"{GROUPS}{group.pk}/change/", form)
        self.assertEqual(
            self.event("group.changed").changes,
            {"permissions": [["apikeys.revoke_apikey"], both]},
        )
        self.alex.groups.add(group)
        self.browser.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"})
        self.assertEqual(
            self.event("group.deleted").changes,
            {
                "name": ["Night shift", None],
                "permissions": [both, None],
                "members": [[self.alex.username], None],
            },
        )


class CommandTests(StaffAuditTestCase):
    def test_createsuperuser_is_an_event(self):
        with mock.patch.dict("os.environ", {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}):
            call_command(
                "createsuperuser", "--noinput", username="first", email="", stdout=io.StringIO()
            )
        event = self.events("staff.created")[-1]
        self.assertEqual(event.target_id, str(User.objects.get(username="first").pk))
        self.assertEqual((event.actor_type, event.ip), ("cli", None))
        self.assertEqual(event.changes["is_superuser"], [None, True])

    def test_changepassword_is_an_event(self):
        with mock.patch("getpass.getpass", return_value=PASSWORD):
            call_command("changepassword", "sam", stdout=io.StringIO())
        self.sam.refresh_from_db()
        self.assertTrue(self.sam.check_password(PASSWORD))
        self.assertEqual(self.event("staff.password_changed").actor_type, "cli")

    def test_changepassword_writes_the_password_alone_so_that_a_disabled_account_stays_so(self):
        def disabled_meanwhile(prompt: str) -> str:
            User.objects.filter(pk=self.sam.pk).update(is_active=False, is_superuser=False)
            return PASSWORD

        with (
            mock.patch("getpass.getuser", return_value="sam"),
            mock.patch("getpass.getpass", side_effect=disabled_meanwhile),
        ):
            call_command("changepassword", stdout=io.StringIO())
        self.sam.refresh_from_db()
        self.assertTrue(self.sam.check_password(PASSWORD))
        self.assertEqual((self.sam.is_active, self.sam.is_superuser), (False, False))
        self.assertEqual(self.event("staff.password_changed").target_id, str(self.sam.pk))

    def test_changepassword_refuses_an_unknown_name_and_a_weak_or_differing_password(self):
        before = self.sam.password
        for name, typed in (
            ("nobody", [PASSWORD] * 2),
            ("sam", ["short"] * 2),
            ("sam", ["a", "b"]),
        ):
            with (
                self.subTest(name, typed=typed),
                mock.patch("getpass.getpass", side_effect=typed),
                self.assertRaises(CommandError),
            ):
                call_command("changepassword", name, stdout=io.StringIO())
        self.sam.refresh_from_db()
        self.assertEqual(self.sam.password, before)
        self.assertEqual(self.events("staff.password_changed"), [])


class ServiceLogTests(VerifyTestCase):
    OWN = "WHERE organization_id = 'service'"

    def test_service_log_is_verified_as_a_chain_without_an_organization(self):
        (line,) = self.verify("--organization", SERVICE).splitlines()
        self.assertRegex(line, rf"^{SERVICE} 1 [0-9a-f]{{64}}$")
        self.assertIn(line, self.verify().splitlines())

    def test_service_log_needs_its_head_and_verifies_without_events(self):
        both = (f"DELETE FROM {table} {self.OWN}" for table in AUDIT_TABLES)
        with self.tampered(*both):
            self.assertFound(f"{SERVICE}: the head of its audit log is missing.")
            AuditHead.objects.create(organization_id=SERVICE)
            self.assertIn(f"{SERVICE} 0 {'0' * 64}", self.verify())

    def test_emptied_service_log_is_found_by_its_kept_head(self):
        kept = io.StringIO(self.verify("--organization", SERVICE))
        back = "sequence = 0, seal = decode(repeat('00', 32), 'hex')"
        with (
            self.tampered(
                f"DELETE FROM audit_auditevent {self.OWN}",
                f"UPDATE audit_audithead SET {back} {self.OWN}",
            ),
            mock.patch("sys.stdin", kept),
        ):
            cut = "the kept head is number 1, the log now ends at 0: the events after it are gone"
            self.assertFound(f"{SERVICE}: {cut}.", args=("--expect", "-"))

    def test_changed_event_of_the_service_log_is_named(self):
        event = AuditEvent.objects.get(organization_id=SERVICE)
        with self.tampered(f"UPDATE audit_auditevent SET actor_label = 'nobody' {self.OWN}"):
            self.assertFound(f"{SERVICE} event 1 ({event.pk}): {CHANGED}; it is the last event.")


class RaceTests(CommittedTestCase):
    def test_concurrent_changes_of_one_account_leave_a_history_without_a_gap(self):
        alex = member_of("Key managers")
        auditors = Group.objects.get(name="Auditors").pk
        kim = User.objects.create_superuser("kim", password=PASSWORD)
        browsers = [self.staff(), self.staff(kim)]
        forms = (
            rights_form(alex, is_superuser=True),
            rights_form(alex, groups=[auditors]),
        )

        def send(browser: Any, form: dict[str, object]) -> int:
            status: int = browser.post(f"{USERS}{alex.pk}/change/", form).status_code
            return status

        calls = [partial(send, b, f) for b, f in zip(browsers, forms, strict=True)]
        self.assertEqual(in_threads(*calls), [302, 302])

        first, second = AuditEvent.objects.filter(action="staff.changed").order_by("sequence")
        after = {**first.changes, **second.changes}
        for name, (before, _) in second.changes.items():
            if name in first.changes:
                self.assertEqual(before, first.changes[name][1])
        rights = alex.rights()
        self.assertEqual({name: pair[1] for name, pair in after.items()} | rights, rights)
