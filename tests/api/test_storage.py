"""Tests of storage: digests under peppers, constraints, and events in the verb's transaction."""

import re
import secrets
from datetime import timedelta

import time_machine
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.models import ApiKey, KeySecret
from apikeys.plaintext import verifying_digests
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import finish_rotation, rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import ApiTestCase

OLD, NEW, OTHER = (secrets.token_bytes(32) for _ in range(3))


class PlaintextTests(ApiTestCase):
    def test_str_and_repr_show_no_secret(self):
        api_key, client = self.issue()
        secret = api_key.secrets.get()
        for text in (str(api_key), repr(api_key), str(secret), repr(secret)):
            self.assertNotIn(client.key[17:30], text)

    def test_digest_depends_on_the_pepper(self):
        _, client = self.issue()
        self.assertEqual([bytes(KeySecret.objects.get().digest)], verifying_digests(client.key))
        with override_settings(API_KEY_PEPPERS={1: OTHER}):
            self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")


class PepperTests(ApiTestCase):
    def test_first_pepper_signs_and_every_other_verifies(self):
        with override_settings(API_KEY_PEPPERS={7: OLD}):
            old = self.issue()[1]
        with override_settings(API_KEY_PEPPERS={3: NEW, 7: OLD}):
            new_key, new = self.issue()
            self.assertEqual(new_key.secrets.get().pepper_id, 3)
            self.assertEqual(old.get("/v1/auth/me").status_code, 200)
            self.assertEqual(new.get("/v1/auth/me").status_code, 200)

    def test_use_renews_a_digest_under_the_first_pepper_so_that_the_old_one_can_go(self):
        with override_settings(API_KEY_PEPPERS={7: OLD}):
            used, unused = self.issue()[1], self.issue()[1]
        with override_settings(API_KEY_PEPPERS={9: NEW, 7: OLD}):
            self.assertEqual(used.get("/v1/auth/me").status_code, 200)
            with self.assertNumQueries(1):
                self.assertEqual(used.get("/v1/auth/me").status_code, 200)
        with override_settings(API_KEY_PEPPERS={9: NEW}):
            self.assertEqual(used.get("/v1/auth/me").status_code, 200)
            self.assertRefused(unused.get("/v1/auth/me"), 401, "api_key_invalid")

    def test_refused_secrets_digest_is_not_renewed(self):
        with override_settings(API_KEY_PEPPERS={7: OLD}):
            api_key, client = self.issue()
        revoke(api_key, actor=Actor.cli())
        with override_settings(API_KEY_PEPPERS={9: NEW, 7: OLD}):
            client.get("/v1/auth/me")
        self.assertEqual(KeySecret.objects.get().pepper_id, 7)

    def test_missing_pepper_fails_readyz_and_only_its_own_keys(self):
        for peppers, ready in [
            ({7: OLD}, True),
            ({3: NEW, 7: OLD}, True),
            ({7: OLD, 9: NEW}, True),
            ({9: NEW}, False),
            ({3: NEW}, False),
            ({3: NEW, 9: OTHER}, False),
        ]:
            KeySecret.objects.all().delete()
            with override_settings(API_KEY_PEPPERS={7: OLD}):
                old = self.issue()[1]
            with self.subTest(list(peppers)), override_settings(API_KEY_PEPPERS=peppers):
                response = self.client.get("/readyz")
                self.assertEqual(response.status_code, 200 if ready else 503)
                self.assertEqual("pepper" in response.content.decode(), not ready)
                working = old.get("/v1/auth/me").status_code == 200
                self.assertEqual(working, ready)

    def test_missing_pepper_of_secrets_that_cannot_authenticate_does_not_fail_readyz(self):
        cli, hour = Actor.cli(), timedelta(hours=1)

        def leave(api_key: ApiKey) -> None:
            pass

        def revoked(api_key: ApiKey) -> None:
            revoke(api_key, actor=cli)

        def rotated(api_key: ApiKey) -> None:
            rotate(api_key, actor=cli, overlap=hour)

        def rotate_and_finish(api_key: ApiKey) -> None:
            rotated(api_key)
            finish_rotation(api_key, actor=cli)

        def rotate_and_revoke(api_key: ApiKey) -> None:
            rotated(api_key)
            revoked(api_key)

        def suspend(api_key: ApiKey) -> None:
            api_key.organization.suspend(actor=cli, reason="unpaid")

        for act, ends_in, passed, needed in [
            (leave, None, hour, True),
            (leave, 2 * hour, hour, True),
            (leave, hour, hour, False),
            (revoked, None, 0 * hour, False),
            (rotated, None, hour / 2, True),
            (rotated, None, hour, False),
            (rotate_and_finish, None, 0 * hour, False),
            (rotate_and_revoke, None, 0 * hour, False),
            (suspend, None, hour, True),
        ]:
            KeySecret.objects.all().delete()
            now = timezone.now().replace(microsecond=0)
            with self.subTest(act.__name__, ends_in=ends_in), time_machine.travel(now, tick=False):
                with override_settings(API_KEY_PEPPERS={7: OLD}):
                    end = None if ends_in is None else now + ends_in
                    api_key, _ = self.issue(expires_at=end)
                with override_settings(API_KEY_PEPPERS={9: NEW, 7: OLD}):
                    act(api_key)
            with (
                time_machine.travel(now + passed, tick=False),
                override_settings(API_KEY_PEPPERS={9: NEW}),
            ):
                self.assertIs(KeySecret.objects.need_missing_pepper(), needed)
                self.assertEqual(KeySecret.objects.count_by_pepper().get(7, 0), int(needed))

    def test_missing_pepper_is_searched_by_index_ranges(self):
        with (
            override_settings(API_KEY_PEPPERS={9: NEW, 3: OLD}),
            connection.cursor() as cursor,
            CaptureQueriesContext(connection) as queries,
        ):
            # PostgreSQL scans an empty table; with scans off, the plan shows the index's use.
            for scan in ("seqscan", "indexscan", "indexonlyscan"):
                cursor.execute(f"SET LOCAL enable_{scan} = off")
            self.assertFalse(KeySecret.objects.need_missing_pepper())
            (query,) = queries.captured_queries
            cursor.execute(f"EXPLAIN {query['sql']}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        for condition in ("(pepper_id > 0) AND", "(pepper_id > 9)", "(pepper_id > 3) AND"):
            self.assertRegex(plan, rf"Index Cond: \(?{re.escape(condition)}")


class ConstraintTests(ApiTestCase):
    """The database refuses what the code never writes."""

    def refused(self, constraint: str, **columns: object) -> None:
        with self.assertRaisesMessage(IntegrityError, constraint), transaction.atomic():
            ApiKey.objects.update(**columns)

    def test_constraint_refuses_empty_unknown_or_null_scopes(self):
        self.issue()
        for scopes in ([], ["tests:delete"], ["tests:read", "*"], [None], ["tests:read", None]):
            with self.subTest(scopes):
                self.refused("api_key_scopes_known_and_not_empty", scopes=scopes)

    def test_constraint_refuses_an_expiry_before_creation(self):
        self.issue()
        past = timezone.now() - timedelta(days=1)
        self.refused("api_key_expires_after_creation", expires_at=past)

    def test_constraint_refuses_a_revocation_reason_on_a_live_key(self):
        self.issue()
        self.refused("api_key_reason_only_if_revoked", revoked_reason="leaked")

    def test_constraint_refuses_a_short_or_repeated_digest(self):
        api_key, _ = self.issue()
        stored = api_key.secrets.get()

        def add(digest: bytes) -> None:
            with transaction.atomic():
                KeySecret.objects.create(
                    api_key=api_key,
                    locator="abcdefgh",
                    digest=digest,
                    pepper_id=1,
                    last_four="abcd",
                )

        with self.assertRaisesMessage(IntegrityError, "key_secret_digest_is_sha_256"):
            add(b"short")
        with self.assertRaisesMessage(IntegrityError, "digest"):
            add(bytes(stored.digest))


class AuditEventTests(ApiTestCase):
    def test_verbs_each_write_one_event_saying_who_did_what(self):
        _, client = self.issue()
        made = client.send("/v1/keys", {"name": "CI", "scopes": ["tests:read"]}).json()
        api_key = ApiKey.objects.get(pk=made["id"])
        revoke(api_key, actor=Actor.staff(self.sam), reason="leaked")
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.acme.resume(actor=Actor.system(), reason="paid")

        events = AuditEvent.objects.filter(organization_id=self.acme.id).order_by("sequence")

        self.assertEqual(
            [(e.sequence, e.action, e.actor_type, e.reason) for e in events],
            [
                (1, "organization.created", "cli", ""),
                (2, "api_key.issued", "cli", ""),
                (3, "api_key.issued", "key", ""),
                (4, "api_key.revoked", "staff", "leaked"),
                (5, "organization.suspended", "cli", "unpaid"),
                (6, "organization.resumed", "system", "paid"),
            ],
        )
        issued = events[2]
        self.assertEqual((issued.target_type, issued.target_id), ("api_key", made["id"]))
        self.assertEqual(issued.changes["scopes"], [None, ["tests:read"]])
        self.assertIs(issued.livemode, True)
        self.assertRegex(issued.id, r"^evt_[0-9A-Za-z]{12}$")

    def test_verb_that_changes_nothing_writes_no_event(self):
        api_key, _ = self.issue()
        revoke(api_key, actor=Actor.cli(), reason="first")
        before = AuditEvent.objects.count()
        first = api_key.revoked_at

        revoke(api_key, actor=Actor.cli(), reason="second")
        self.acme.resume(actor=Actor.cli(), reason="was never suspended")

        self.assertEqual(AuditEvent.objects.count(), before)
        self.assertEqual((api_key.revoked_at, api_key.revoked_reason), (first, "first"))

    def test_verb_whose_event_cannot_be_written_is_rolled_back(self):
        api_key, client = self.issue()
        # Takes the next event's number, so that its insert fails, like any failing insert.
        AuditEvent.objects.create(
            organization_id=self.acme.id, sequence=3, seal_key_id=1, seal=bytes(32)
        )

        with self.assertRaises(IntegrityError), transaction.atomic():
            revoke(api_key, actor=Actor.cli(), reason="leaked")

        self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        self.assertEqual(ApiKey.objects.get(pk=api_key.pk).revoked_reason, "")


class RoleTests(ApiTestCase):
    def test_tests_run_as_the_production_database_role(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_user, pg_has_role(current_user, 'pg_database_owner', 'usage')"
            )
            self.assertEqual(cursor.fetchone(), ("reachscore_app", False))
        with (
            self.assertRaises(ProgrammingError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute("ALTER TABLE apikeys_apikey ADD COLUMN plaintext text")
