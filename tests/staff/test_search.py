"""Tests of search in the admin: lists find what they print of keys, organizations and events."""

import unicodedata

from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.verbs.change import change
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from notices.contacts import change_contacts, contacts_of
from staff.models import User
from tests.staff.test_admin import KEYS, ORGANIZATIONS, AdminTestCase
from tests.staff.test_admin_audit import EVENTS
from tests.support.cast import Answer


def folded(text: str) -> str:
    """Return what the database's search_fold must return of Latin, Cyrillic and Greek texts."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.combining(c)).lower()


class SearchTestCase(AdminTestCase):
    def found(self, url: str, q: str, **query: str) -> set[str]:
        """Return the ids on the list that the search leads to; the key search is a POST."""
        post = url == KEYS
        answer: Answer = (
            self.browser.post(f"{url}find/", {"q": q, **query}, follow=True)
            if post
            else self.browser.get(url, {"q": q, **query})
        )
        self.assertEqual(answer.status_code, 200)
        return {row.pk for row in answer.context["cl"].result_list}

    def assertCost(self, number: int, url: str) -> None:
        """Check the number of queries of a page, without the session's."""
        with CaptureQueriesContext(connection) as queries:
            self.assertEqual(self.browser.get(url).status_code, 200)
        told = [query["sql"] for query in queries.captured_queries]
        self.assertEqual(len(told), number, "\n".join(told))


class SearchTextTests(SearchTestCase):
    def assertKept(self) -> None:
        for organization in Organization.objects.all():
            emails = " ".join(contact.email for contact in contacts_of(organization.pk))
            text = folded(f"{organization.name} {emails}")
            self.assertEqual(organization.search_text, text)
            for api_key in organization.api_keys.all():
                self.assertEqual(api_key.search_text, f"{folded(api_key.name)} {text}")

    def test_search_text_is_kept_up_to_date_by_every_verb(self):
        sam = Actor.staff(self.sam)
        api_key, client = self.issue(name="Zoë’s ﬁrst ÅNGSTRÖM Почта Έλλη ½ ²")
        text = ApiKey.objects.get(pk=api_key.pk).search_text
        self.assertIn("zoe’s first angstrom почта ελλη 1⁄2 2 acme", text)
        theirs, _ = self.issue(organization=self.globex)
        made, _ = self.make(client, name="Made by Ä")
        self.assertKept()
        for verb in (
            lambda: change(api_key, actor=sam, name="Renàmed"),
            lambda: client.change(f"/v1/keys/{made.pk}", {"name": "Over the API É"}),
            lambda: self.rotate(client, made),
            lambda: revoke(made, actor=sam),
            lambda: change_contacts(self.acme, actor=sam, contacts=["Ops@Acme.example"]),
            lambda: change_contacts(self.acme, actor=sam, contacts=[]),
            lambda: self.acme.rename(actor=sam, reason="merged", name="Äcme & Söhne"),
            lambda: self.acme.suspend(actor=sam, reason="unpaid"),
            # Plain saves, the second one stale: a trigger of the database keeps the text.
            lambda: Organization.objects.filter(pk=self.globex.pk).update(name="Glöbex II"),
            theirs.save,
        ):
            verb()
            self.assertKept()

    def test_authentication_does_not_read_the_search_text(self):
        _, client = self.issue()
        with CaptureQueriesContext(connection) as queries:
            self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        self.assertNotIn("search_text", str(queries.captured_queries))


class KeySearchTests(SearchTestCase):
    def test_key_search_finds_what_the_key_list_prints(self):
        initech = self.organization("Initech Gmbh", "team")
        change_contacts(initech, actor=Actor.cli(), contacts=["Zoe.Ops@initech.example"])
        pipeline, client = self.issue(organization=initech, name="CI pipeline")
        zoe, _ = self.issue(name="Zoë’s 100% sure_thing", allowed_ips=["192.0.2.7/32"])
        net, _ = self.issue(name="net", allowed_ips=["192.0.2.0/24", "2001:db8::/32"])
        hint, locator = client.key[-4:], client.key[8:16]
        for q, keys in (
            (f"…{hint}", {pipeline}),
            (f"...{hint}", {pipeline}),
            (hint, {pipeline}),
            (locator, {pipeline}),
            (f"CI pipeline …{hint}", {pipeline}),
            (f"Globex …{hint}", set()),
            ("Initech CI pipeline", {pipeline}),
            ("pipeline  INITECH", {pipeline}),
            ("Acme CI pipeline", set()),
            ("zoe.ops@initech.example", {pipeline}),
            ("Zoe", {pipeline, zoe}),
            ("zoë acme", {zoe}),
            ("0% sure_", {zoe}),
            ("sure%thing", set()),
            ("\\", set()),
            (pipeline.pk, {pipeline}),
            (initech.pk, {pipeline}),
            (f"{self.acme.pk} net", {net}),
            ("192.0.2.7", {zoe}),
            ("192.0.2.0/24", {net}),
            ("2001:DB8:0::/32", {net}),
            ("192.0.2.8", set()),
            ("…", {pipeline, zoe, net}),
            ("nowhere", set()),
            (" ".join("CI" for _ in range(60)), {pipeline}),
            ("a\0b", {pipeline, zoe, net}),  # Refused with a message.
        ):
            with self.subTest(q):
                self.assertEqual(self.found(KEYS, q), {key.pk for key in keys})

    def test_key_search_is_combined_with_the_filters(self):
        live, _ = self.issue(name="import")
        self.issue(name="import", livemode=False)
        self.assertEqual(self.found(KEYS, "import", livemode__exact="1"), {live.pk})

    def test_search_longer_than_any_stored_text_is_refused(self):
        api_key, _ = self.issue()
        text = "ci " * 70
        answer = self.browser.post(f"{KEYS}find/", {"q": text}, follow=True)
        self.assertContains(answer, "Search for at most 200 characters")
        self.assertContains(answer, api_key.pk)
        for url in (KEYS, ORGANIZATIONS, EVENTS, "/admin/staff/user/"):
            self.assertFalse(self.browser.get(url, {"q": text}).context["cl"].result_list)

    def test_search_statement_is_never_prepared(self):
        for number in range(12):  # psycopg prepares what runs a sixth time.
            self.browser.get(KEYS, {"q": f"nightly{number}"})
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement FROM pg_prepared_statements")
            statements = [statement for (statement,) in cursor.fetchall()]
        self.assertTrue(any("django_session" in one for one in statements), statements)
        self.assertFalse(any("search_fold" in one for one in statements), statements)

    def test_search_results_are_sorted_by_age_or_by_a_column(self):
        made = [self.issue(name=f"import {letter}")[0].pk for letter in "bca"]
        for query, order in (({}, [2, 1, 0]), ({"o": "1"}, [2, 0, 1]), ({"o": "-1"}, [1, 0, 2])):
            listed = self.browser.get(KEYS, {"q": "import", **query}).context["cl"].result_list
            self.assertEqual([made.index(key.pk) for key in listed], order)

    def test_key_search_takes_the_same_queries_for_any_number_of_results(self):
        api_key, client = self.issue(allowed_ips=["192.0.2.7/32"])
        queries = {
            "": 6,
            "nightly ci": 3,
            "ci": 6,
            api_key.pk: 6,
            "192.0.2.7": 6,
            client.key[-4:]: 7,  # One more query for each word that may be a part of a key.
            f"acme …{client.key[-4:]}": 8,
            "nowhere": 3,
        }
        for _ in range(2):
            for q, number in queries.items():
                with self.subTest(q):
                    self.assertCost(number, f"{KEYS}?q={q}")
            for _ in range(3):
                self.issue(allowed_ips=["192.0.2.7/32"])


class OtherSearchTests(SearchTestCase):
    def test_organization_search_finds_name_contact_and_id(self):
        change_contacts(self.acme, actor=Actor.cli(), contacts=["Zoe@acme.example"])
        for q in ("zoë@acme.example", "ACMÉ", "acme zoe", self.acme.pk):
            with self.subTest(q):
                self.assertEqual(self.found(ORGANIZATIONS, q), {self.acme.pk})
        self.assertEqual(self.found(ORGANIZATIONS, "acme globex"), set())

    def test_user_search_finds_names_with_or_without_diacritics(self):
        zoe = User.objects.create_user("zoë", first_name="Åse", email="z@corp.example")
        for q in ("zoe", "ZOË ase", "z@corp"):
            self.assertEqual(self.found("/admin/staff/user/", q), {zoe.pk})
        self.assertEqual(self.found("/admin/staff/user/", "zoe sam"), set())

    def test_event_search_finds_what_the_audit_log_prints(self):
        api_key, client = self.issue(organization=self.globex)
        made, _ = self.make(client, name="child")
        sam = Actor.staff(self.sam)
        revoke(made, actor=sam, reason="Zoë left the company")
        change_contacts(self.acme, actor=sam, contacts=["ops@acme.example"])
        revoked, changed = "api_key.revoked", "organization.contacts_changed"
        issued = "api_key.issued"
        created = "organization.created"
        for q, actions in (
            ("Globex", [created, issued, issued, revoked]),
            ("acme", [created, changed]),
            (self.acme.pk, [created, changed]),
            ("staff:sam", [changed, revoked]),
            ("staff:nobody", []),
            ("sam", [changed, revoked]),
            (f"key:{api_key.pk}", [issued]),
            ("key:", []),
            ("cli", [created, created, issued, "staff.created"]),
            ("api_key.revoked", [revoked]),
            ("Contacts_Changed", [changed]),
            ("zoe company", [revoked]),
            ("zoe elsewhere", []),
            (made.pk, [issued, revoked]),
            ("127.0.0.1", [changed, issued, revoked]),
            ("192.0.2.1", []),
        ):
            with self.subTest(q):
                ids = self.found(EVENTS, q)
                found = AuditEvent.objects.filter(pk__in=ids).values_list("action", flat=True)
                self.assertEqual(sorted(found), sorted(actions))

    def test_organization_and_event_lists_take_a_fixed_number_of_queries(self):
        for _ in range(2):
            for url, number in (
                (ORGANIZATIONS, 7),
                (f"{ORGANIZATIONS}?q=acme", 7),
                (EVENTS, 5),
                (f"{EVENTS}?q=acme", 7),
                (f"{EVENTS}?q=staff:sam", 4),
            ):
                with self.subTest(url):
                    self.assertCost(number, url)
            for _ in range(3):
                self.organization("Acme", "free")
