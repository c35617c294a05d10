"""Tests of adding a scope: what docs/changing.md says of a ninth scope holds."""

from typing import Any
from unittest import mock

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test import SimpleTestCase

from apikeys.scopes import ALL_SCOPES, give_to_managing_keys
from tests.support.cast import ApiTestCase
from tests.support.committed import as_owner

NEW = "reports:read"
CONSTRAINT = "api_key_scopes_known_and_not_empty"
STATES: tuple[Any, Any] = (None, None)  # The states of the models, which RunSQL does not read.


class ScopesAndMigrationsTests(SimpleTestCase):
    def test_every_scope_is_in_the_first_migration_or_granted_to_managing_keys_by_a_later_one(self):
        migrations = MigrationLoader(None).disk_migrations.items()
        operations: list[Any] = [
            o for (app, _), m in migrations if app == "apikeys" for o in m.operations
        ]
        first = next(
            dict(o.constraint.condition.children)["scopes__contained_by"]
            for o in operations
            if getattr(getattr(o, "constraint", None), "name", "") == CONSTRAINT
        )
        given = [o.hints["new_scope"] for o in operations if "new_scope" in getattr(o, "hints", {})]
        self.assertEqual(list(ALL_SCOPES), first + given)


class NewScopeTests(ApiTestCase):
    def setUp(self) -> None:
        self.managing, self.manager = self.issue()
        self.limited, self.client_of_limited = self.issue(scopes=list(ALL_SCOPES[:-1]))
        patch = mock.patch("apikeys.scopes.ALL_SCOPES", (*ALL_SCOPES, NEW))
        patch.start()
        self.addCleanup(patch.stop)
        with as_owner() as cursor:  # The constraint for the longer list of scopes.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"ALTER TABLE apikeys_apikey DROP CONSTRAINT {CONSTRAINT}")

    def migrate(self) -> None:
        with connection.schema_editor() as editor:
            give_to_managing_keys(NEW).database_forwards("apikeys", editor, *STATES)

    def test_new_scope_without_its_data_migration_leaves_no_key_managing(self):
        self.assertRefused(self.manager.send("/v1/keys", {"name": "x"}), 403, "insufficient_scope")

    def test_new_scope_with_its_data_migration_is_held_and_granted_by_managing_keys(self):
        self.migrate()
        _, child = self.make(self.manager, scopes=[NEW])
        self.assertEqual(child.get("/v1/auth/me").json()["scopes"], [NEW])
        _, second = self.make(self.manager)
        self.assertEqual(self.make(second)[0].scopes, [*ALL_SCOPES, NEW])
        shown = self.manager.get(f"/v1/keys/{self.managing.id}").json()
        self.assertEqual(shown["scopes"], [*ALL_SCOPES, NEW])
        self.assertIn(NEW, shown["scope_usage"])

    def test_new_scope_with_its_data_migration_leaves_restricted_keys_unchanged(self):
        self.migrate()
        self.limited.refresh_from_db()
        self.assertEqual(self.limited.scopes, list(ALL_SCOPES[:-1]))
        self.assertRefused(
            self.client_of_limited.send("/v1/keys", {"name": "x"}), 403, "insufficient_scope"
        )

    def test_second_run_of_the_scope_migration_changes_nothing(self):
        self.migrate()
        self.migrate()
        self.assertEqual(self.managing.grants.filter(scope=NEW).count(), 1)
