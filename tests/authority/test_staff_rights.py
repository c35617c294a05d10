"""Tests of rights in the admin: every page and action for each group, a superuser and nobody.

The pages are those of the admin's own URLs. A page that is not in the table fails here, so a new
one cannot be forgotten.
"""

import re
from html import unescape
from typing import Final, cast

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.test import Client, RequestFactory
from django.urls import URLPattern, reverse

from accounts.models import Organization, Plan
from apikeys.models import ApiKey
from audit.models import AuditEvent
from staff.groups import GROUPS, LOOK, make_groups
from staff.models import User
from tests.support.admin_pages import admin_patterns, page_url
from tests.support.cast import Answer, ApiTestCase
from tests.support.staff import log_in, member_of

NOBODY, UNGROUPED, SUPERUSER = "nobody", "staff without a group", "superuser"
KEYS, ACCOUNTS, AUDITORS = "Key managers", "Account managers", "Auditors"
ALL_STAFF: Final = frozenset({UNGROUPED, KEYS, ACCOUNTS, AUDITORS, SUPERUSER})
GROUPED: Final = frozenset({KEYS, ACCOUNTS, AUDITORS, SUPERUSER})
ANYBODY: Final = ALL_STAFF | {NOBODY}
WATCH: Final = frozenset({AUDITORS, SUPERUSER})  # May view staff accounts and groups.
ALONE: Final = frozenset({SUPERUSER})
NONE: Final[frozenset[str]] = frozenset()
ISSUE: Final = frozenset({KEYS, SUPERUSER})
SELL: Final = frozenset({ACCOUNTS, SUPERUSER})

PAGES: Final[dict[str, frozenset[str]]] = {
    "index": ALL_STAFF,
    "login": ANYBODY,
    "logout": ANYBODY,
    "password_change": ALL_STAFF,
    "password_change_done": ALL_STAFF,
    "second_factor": ALL_STAFF,
    "second_factor_leave": ALL_STAFF,
    "second_factor_set_up": ALL_STAFF,
    "recovery_codes": ALL_STAFF,
    "passkey_add": ALL_STAFF,
    "passkey_challenge": ANYBODY,
    "passkey_log_in": ANYBODY,
    "passkey_remove": ALL_STAFF,
    "passkey_rename": ALL_STAFF,
    "remove_app": ALL_STAFF,
    "jsi18n": ALL_STAFF,
    "autocomplete": GROUPED,
    "view_on_site": ALL_STAFF,
    "app_list": GROUPED,
    "accounts_organization_changelist": GROUPED,
    "accounts_organization_add": SELL,
    "accounts_organization_change": GROUPED,
    "accounts_organization_history": GROUPED,
    "accounts_organization_delete": NONE,
    "accounts_organization_suspend": SELL,
    "accounts_organization_resume": SELL,
    "accounts_organization_plan": SELL,
    "accounts_organization_contacts": SELL,
    "accounts_organization_leak_policy": SELL,
    "accounts_organization_rename": SELL,
    "accounts_plan_changelist": GROUPED,
    "accounts_plan_add": NONE,
    "accounts_plan_change": GROUPED,
    "accounts_plan_history": GROUPED,
    "accounts_plan_delete": NONE,
    "audit_auditevent_changelist": GROUPED,
    "audit_auditevent_add": NONE,
    "audit_auditevent_change": GROUPED,
    "audit_auditevent_history": GROUPED,
    "audit_auditevent_delete": NONE,
    "audit_auditevent_export": WATCH,
    "apikeys_apikey_changelist": GROUPED,
    "apikeys_apikey_add": ISSUE,
    "apikeys_apikey_change": GROUPED,
    "apikeys_apikey_history": GROUPED,
    "apikeys_apikey_delete": NONE,
    "apikeys_apikey_find": GROUPED,
    "apikeys_apikey_revoke": ISSUE,
    "apikeys_apikey_revoke-made": ISSUE,
    "apikeys_apikey_rotate": ISSUE,
    "apikeys_apikey_finish-rotation": ISSUE,
    "apikeys_apikey_narrow": ISSUE,
    "apikeys_apikey_edit": ISSUE,
    "apikeys_apikey_bulk_revoke": ISSUE,
    "apikeys_apikey_bulk_narrow": ISSUE,
    "staff_user_changelist": WATCH,
    "staff_user_add": ALONE,
    "staff_user_change": WATCH,
    "staff_user_history": WATCH,
    "staff_user_delete": NONE,
    "staff_user_reset_second_factor": ALONE,
    "auth_user_password_change": ALONE,
    "auth_group_changelist": WATCH,
    "auth_group_add": ALONE,
    "auth_group_change": WATCH,
    "auth_group_history": WATCH,
    "auth_group_delete": ALONE,
}
# Pages with fewer people who may POST than people who may GET.
WRITES: Final[dict[str, frozenset[str]]] = {
    "accounts_organization_change": NONE,
    "accounts_plan_change": NONE,
    "audit_auditevent_change": NONE,
    "apikeys_apikey_change": NONE,
    "staff_user_change": ALONE,
    "auth_group_change": ALONE,
}
# The list actions of each model, and who may use them.
ACTIONS: Final[dict[str, dict[str, frozenset[str]]]] = {
    "apikeys.apikey": {"revoke_selected": ISSUE, "narrow_selected": ISSUE},
}

# Pages that end a session, and pages that take POST only.
ENDS: Final = frozenset({"login", "logout", "second_factor_leave"})
NO_GET: Final = frozenset({"logout", "recovery_codes", "second_factor_leave"})
# Open to those of whom the second factor is still asked.
HALF_WAY: Final = ENDS | {
    *("second_factor", "second_factor_set_up"),
    *("passkey_add", "passkey_challenge", "passkey_log_in"),
}


class StaffRightsTests(ApiTestCase):
    people: dict[str, User | None]

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        members = {name: member_of(name) for name in GROUPS}
        cls.people = {NOBODY: None, UNGROUPED: member_of(), SUPERUSER: cls.sam, **members}

    def setUp(self) -> None:
        self.api_key, _ = self.issue()
        self.rows: dict[str, models.Model] = {
            "apikeys_apikey": self.api_key,
            "accounts_organization": self.acme,
            "accounts_plan": Plan.objects.get(pk="team"),
            "audit_auditevent": AuditEvent.objects.earliest("created_at"),
            "staff_user": cast(User, self.people[UNGROUPED]),
            "auth_user": cast(User, self.people[UNGROUPED]),
            "auth_group": Group.objects.get(name=AUDITORS),
            "view_on_site": self.sam,
        }

    def browser(self, who: str) -> Client:
        client = Client()
        if (user := self.people[who]) is not None:
            log_in(client, user)
        return client

    def url(self, pattern: URLPattern) -> str:
        return page_url(pattern, self.rows)

    def assertMay(self, response: Answer, message: str) -> None:
        self.assertIn(response.status_code, (200, 302, 404, 405, 422), message)
        self.assertNotIn("/admin/login/?next=", response.get("Location", ""), message)

    def assertMayNot(self, response: Answer, who: str, message: str) -> None:
        if who == NOBODY:
            self.assertEqual(response.status_code, 302, message)
            self.assertIn("/admin/login/?next=", response["Location"], message)
        else:
            self.assertIn(response.status_code, (403, 405), message)

    def test_every_admin_page_is_in_the_table_of_rights(self):
        names = [pattern.name for pattern in admin_patterns()]
        # Django's redirect from <id>/ to <id>/change/ has no name; the page itself is checked.
        self.assertEqual(sorted(set(PAGES)), sorted({name for name in names if name}))

    def test_every_admin_page_lets_in_whom_the_table_names_only(self):
        browsers = {who: self.browser(who) for who in self.people}
        for pattern in admin_patterns():
            if not pattern.name:
                continue
            url = self.url(pattern)
            query = ""
            if pattern.name == "autocomplete":
                query = "?term=&app_label=apikeys&model_name=apikey&field_name=organization"
            for who in self.people:
                # Logging in is slow, and needed again only after these.
                browser = self.browser(who) if pattern.name in ENDS else browsers[who]
                message = f"{who}: {pattern.name} {url}"
                for method in ("POST",) if pattern.name in NO_GET else ("GET", "POST"):
                    response = browser.generic(method, url + query)
                    writes = WRITES if method == "POST" else {}
                    if pattern.name == "passkey_log_in":  # One that is refused leads back there.
                        self.assertIn(response.status_code, (302, 405), message)
                    elif who in writes.get(pattern.name, PAGES[pattern.name]):
                        self.assertMay(response, message)
                    elif pattern.name == "app_list":
                        self.assertIn(response.status_code, (302, 404), message)
                    else:
                        self.assertMayNot(response, who, message)

    def test_half_finished_log_in_or_missing_csrf_token_opens_no_page_and_changes_nothing(self):
        """A half-finished log-in has the password alone; another site can send forms without a
        token.
        """
        half_way, strict = self.browser(SUPERUSER), Client(enforce_csrf_checks=True)
        log_in(strict, self.sam)
        session = half_way.session
        session["is_in"] = False
        session.save()
        before = self.everything()
        for pattern in admin_patterns():
            if pattern.name:
                url, message = self.url(pattern), str(pattern.name)
                self.assertEqual(strict.post(url).status_code, 403, message)
                for call in (half_way.get, half_way.post) if pattern.name not in HALF_WAY else ():
                    self.assertMayNot(call(url), NOBODY, message)
        self.assertEqual(self.everything(), before)

    def test_post_by_whom_the_table_does_not_name_changes_nothing(self):
        before = self.everything()
        browsers = {who: self.browser(who) for who in self.people}
        for pattern in admin_patterns():
            if not pattern.name or pattern.name in ENDS:
                continue
            for who in self.people:
                if who not in WRITES.get(pattern.name, PAGES[pattern.name]):
                    fields = {"reason": "forged", "post": "yes", "name": "forged", "plan": "free"}
                    browsers[who].post(self.url(pattern), fields)
        self.assertEqual(self.everything(), before)

    def everything(self) -> list[object]:
        people = User.objects.order_by("pk").values("username", "is_superuser", "password")
        return [
            AuditEvent.objects.count(),
            ApiKey.objects.filter(revoked_at=None).count(),
            list(Organization.objects.order_by("pk").values()),
            list(people),
            list(Group.objects.order_by("pk").values_list("name", "permissions")),
        ]

    def test_every_list_action_is_offered_to_whom_the_table_names_only(self):
        for who, user in self.people.items():
            if user is None:
                continue
            request = RequestFactory().get("/admin/")
            request.user = User.objects.get(pk=user.pk)
            for model, model_admin in admin.site._registry.items():
                known = ACTIONS.get(model._meta.label_lower, {})
                expected = {name for name, allowed in known.items() if who in allowed}
                with self.subTest(who=who, model=model._meta.label_lower):
                    self.assertEqual(set(model_admin.get_actions(request)), expected)

    def test_list_action_that_is_not_offered_is_refused(self):
        before = self.everything()
        for who, user in self.people.items():
            if user is None:
                continue
            browser = self.browser(who)
            for name, row in self.rows.items():
                if name in ("auth_user", "view_on_site"):
                    continue
                label = name.replace("_", ".")
                known = ACTIONS.get(label, {})
                for action in {"delete_selected", *known}:
                    if who in known.get(action, NONE):
                        continue
                    url = reverse(f"admin:{name}_changelist")
                    form = {"action": action, "_selected_action": [row.pk], "post": "yes"}
                    browser.post(url, {**form, "reason": "forged"})
        self.assertEqual(self.everything(), before)

    def test_no_page_offers_a_link_that_is_refused(self):
        for who, user in self.people.items():
            if user is None:
                continue
            browser = self.browser(who)
            pages = {
                self.url(pattern)
                for pattern in admin_patterns()
                if pattern.name and pattern.name.endswith(("index", "_changelist", "_change"))
            }
            links: dict[str, str] = {}
            for page in sorted(pages):
                response = browser.get(page)
                if response.status_code == 200:
                    links |= dict.fromkeys(self.links(response), page)
            self.assertGreater(len(links), 1)
            for link, page in links.items():
                self.assertMay(browser.get(link), f"{who}: {page} has a link to {link}")

    def links(self, page: Answer) -> set[str]:
        found = re.findall(r'href="([^"]+)"', page.content.decode())
        # A list sorted otherwise is the same page.
        links = {re.sub(r"#.*|[?]o=.*", "", unescape(link)) for link in found}
        return {link for link in links if link.startswith("/admin/") and "logout" not in link}


class GroupTests(ApiTestCase):
    def rights(self, group: str) -> set[str]:
        member = User.objects.get(pk=member_of(group).pk)
        return member.get_all_permissions()

    def test_groups_have_their_rights_from_the_migrations(self):
        keys, accounts = self.rights(KEYS), self.rights(ACCOUNTS)
        verbs = ("issue", "narrow", "revoke", "rotate")
        self.assertEqual(keys - accounts, {f"apikeys.{verb}_apikey" for verb in verbs})
        plan = "accounts.change_organization_plan"
        expected = {
            plan,
            *(f"accounts.{verb}_organization" for verb in ("add", "change", "suspend")),
        }
        self.assertEqual(accounts - keys, expected)
        self.assertLessEqual(keys & accounts, self.rights(AUDITORS))

    def test_auditors_have_no_right_to_change_anything(self):
        verbs = {right.partition(".")[2].partition("_")[0] for right in self.rights(AUDITORS)}
        self.assertEqual(verbs, {"view", "export"})

    def test_making_the_groups_again_restores_missing_rights_and_doubles_nothing(self):
        group = Group.objects.get(name=KEYS)
        lost = Permission.objects.get(codename="revoke_apikey")
        group.permissions.remove(lost)
        before = (Group.objects.count(), Permission.objects.count())
        make_groups(apps)
        self.assertEqual((Group.objects.count(), Permission.objects.count()), before)
        self.assertIn(lost, group.permissions.all())

    def test_rights_forms_offer_only_rights_that_a_group_has(self):
        """A right that no page asks for, such as to delete audit heads, is not offered."""
        granted = {*LOOK, *sum(GROUPS.values(), ())}
        user, group = f"/admin/staff/user/{self.sam.pk}/change/", "/admin/auth/group/add/"
        for page, field in ((user, "user_permissions"), (group, "permissions")):
            form = self.staff().get(page).context["adminform"].form
            offered = [right.codename for right in form.fields[field].queryset]
            self.assertEqual((set(offered), len(offered)), (granted, len(granted)))

    def test_new_account_is_staff_with_a_password_by_default(self):
        browser, url = self.staff(), "/admin/staff/user/add/"
        page = browser.get(url)
        self.assertNotContains(page, "LDAP")
        self.assertIs(page.context["adminform"].form["is_staff"].value(), True)
        password = {"password1": "horse staple 1", "password2": "horse staple 1"}
        for name, more in (("robin", {"is_staff": "on"}), ("ward", {})):
            browser.post(url, {"username": name, **password, **more})
            self.assertEqual(User.objects.get(username=name).is_staff, bool(more))

    def test_group_rights_are_all_declared_by_models(self):
        """Otherwise Django, which makes declared rights after the last migration, would make them
        twice.
        """
        declared = {
            codename
            for model in apps.get_models()
            for codename in (
                *(f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions),
                *(codename for codename, _ in model._meta.permissions),
            )
        }
        self.assertLessEqual({*LOOK, *sum(GROUPS.values(), ())}, declared)
