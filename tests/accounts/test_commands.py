"""Tests of the commands: the value alone on stdout, everything else on stderr."""

import io
import secrets
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import override_settings

from accounts.models import Organization
from apikeys.models import ApiKey
from audit.models import AuditEvent
from staff.models import SecondFactor, User
from tests.support.cast import ApiClient, ApiTestCase


class CommandTests(ApiTestCase):
    def call(self, *args: str) -> str:
        """Run a command; return its stdout without the one line's end."""
        out, self.err = io.StringIO(), io.StringIO()
        call_command(*args, stdout=out, stderr=self.err)
        self.assertEqual(out.getvalue().count("\n"), 1)
        return out.getvalue().strip()

    def refused(self, message: str, *args: str) -> None:
        with self.assertRaisesMessage(CommandError, message):
            call_command(*args, stdout=io.StringIO(), stderr=io.StringIO())

    def test_create_organization_prints_its_id(self):
        organization_id = self.call("create_organization", "Initech", "--plan", "starter")
        organization = Organization.objects.get(pk=organization_id)
        self.assertEqual((organization.name, organization.plan_id), ("Initech", "starter"))
        self.assertEqual(AuditEvent.objects.get(target_id=organization_id).actor_type, "cli")

    def test_create_organization_with_a_wrong_argument_says_so(self):
        self.refused("Did you mean team?", "create_organization", "Initech", "--plan", "tema")
        self.refused("control characters", "create_organization", "a\x07b")
        self.assertEqual(Organization.objects.count(), 2)

    def test_issue_api_key_prints_a_working_key(self):
        key = self.call("issue_api_key", self.acme.id, "--name", "CI")
        answer = ApiClient(key).get("/v1/auth/me").json()
        self.assertEqual((answer["key_name"], len(answer["scopes"])), ("CI", 8))
        self.assertNotIn(key, self.err.getvalue())

    def test_issue_api_key_takes_scopes_expiry_and_sandbox(self):
        key = self.call(
            "issue_api_key",
            self.acme.id,
            "--name=CI",
            "--scope",
            "tests:write",
            "--scope=tests:read",
            "--expires-at=2030-01-31T12:00:00+01:00",
            "--test",
        )
        self.assertTrue(key.startswith("rk_test_"))
        api_key = ApiKey.objects.get()
        self.assertEqual(api_key.scopes, ["tests:read", "tests:write"])
        self.assertEqual(str(api_key.expires_at), "2030-01-31 11:00:00+00:00")

    def test_issue_api_key_with_a_wrong_argument_says_so(self):
        issue = ("issue_api_key", self.acme.id, "--name", "CI")
        self.refused("no organization", "issue_api_key", "org_nothing00000", "--name", "CI")
        self.refused("Did you mean tests:read?", *issue, "--scope", "tests:raed")
        self.refused("--expires-at must be", *issue, "--expires-at", "tomorrow")
        for text in ("", "2030-01-31T12:00:00+05:99", "2030-01-31T12:00:00-22:99"):
            self.refused("--expires-at must be", *issue, f"--expires-at={text}")
        self.refused("There is no scope", *issue, "--scope", "")
        self.refused("in the future", *issue, "--expires-at", "2020-01-01T00:00:00Z")
        self.assertEqual(ApiKey.objects.count(), 0)

    def test_revoke_api_key_takes_an_id_a_whole_key_or_standard_input(self):
        for way in ("id", "key", "stdin"):
            with self.subTest(way):
                api_key, client = self.issue()
                named = {"id": api_key.id, "key": client.key, "stdin": "-"}[way]
                with mock.patch("sys.stdin", io.StringIO(client.key + "\n")):
                    printed = self.call("revoke_api_key", named, "--reason", "leaked")
                self.assertEqual(printed, api_key.id)
                self.assertNotIn(client.key, self.err.getvalue())
                self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")
                event = AuditEvent.objects.get(action="api_key.revoked", target_id=api_key.id)
                self.assertEqual((event.actor_type, event.reason), ("cli", "leaked"))

    def test_revoke_api_key_twice_changes_nothing_and_says_so(self):
        api_key, _ = self.issue()
        self.call("revoke_api_key", api_key.id, "--reason", "first")
        self.assertEqual(self.call("revoke_api_key", api_key.id, "--reason", "second"), api_key.id)
        self.assertIn("already revoked", self.err.getvalue())
        self.assertEqual(ApiKey.objects.get().revoked_reason, "first")

    def test_revoke_api_key_needs_a_reason_and_strips_spaces_around_the_key(self):
        api_key, client = self.issue()
        self.refused("--reason must hold", "revoke_api_key", api_key.id, "--reason", " ")
        self.call("revoke_api_key", f" {client.key}\n", "--reason", "leaked")
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")

    def test_revoke_api_key_refuses_nonsense_on_standard_input(self):
        for nonsense in ("", "\x00", "\udcff", "key_" + "x" * 10_000, "ü"):
            with mock.patch("sys.stdin", io.StringIO(nonsense)):
                self.refused("no such key", "revoke_api_key", "-", "--reason", "x")

    def test_revoke_api_key_of_an_unknown_key_does_not_repeat_it(self):
        unknown = self.issue()[1].key[:-1]
        with self.assertRaises(CommandError) as caught:
            call_command("revoke_api_key", unknown, "--reason", "x")
        self.assertNotIn(unknown, str(caught.exception))

    def test_key_peppers_counts_the_secrets_under_each_pepper(self):
        old, new = secrets.token_bytes(32), secrets.token_bytes(32)
        with override_settings(API_KEY_PEPPERS={1: old}):
            client = self.issue()[1]
            self.issue()
        with override_settings(API_KEY_PEPPERS={2: new, 1: old}):
            self.issue()
            self.assertEqual(self.peppers(), ["2 1 signs", "1 2 verifies"])
            client.get("/v1/auth/me")
            self.assertEqual(self.peppers(), ["2 2 signs", "1 1 verifies"])
        with override_settings(API_KEY_PEPPERS={2: new, 3: old}), self.assertRaises(CommandError):
            self.peppers()
        self.assertEqual(
            self.out.getvalue().split("\n")[:3], ["2 2 signs", "3 0 verifies", "1 1 MISSING"]
        )

    def test_encryption_keys_counts_second_factors_under_each_key_and_names_a_missing_one(self):
        out = io.StringIO()
        SecondFactor.objects.create(user=self.sam, key="0001ab")
        with override_settings(ENCRYPTION_KEYS={2: bytes(32), 1: bytes(32)}):
            call_command("encryption_keys", stdout=out)
        with (
            override_settings(ENCRYPTION_KEYS={2: bytes(32)}),
            self.assertRaisesMessage(CommandError, "back into ENCRYPTION_KEYS"),
        ):
            call_command("encryption_keys", stdout=out)
        told = ["2 0 signs", "1 1 verifies sam", "2 0 signs", "1 1 MISSING sam"]
        self.assertEqual(out.getvalue().splitlines(), told)
        for number in range(60):
            kim = User.objects.create(username=f"kim{number:02}")
            SecondFactor.objects.create(user=kim, key="0001ab")
        with override_settings(ENCRYPTION_KEYS={2: bytes(32), 1: bytes(32)}):
            call_command("encryption_keys", stdout=out)
        *_, line = out.getvalue().splitlines()
        self.assertTrue(line.startswith("1 61 verifies kim00,kim01,"), line)
        self.assertTrue(line.endswith(",kim49,+11"), line)

    def peppers(self) -> list[str]:
        self.out = io.StringIO()
        call_command("key_peppers", stdout=self.out, stderr=io.StringIO())
        return self.out.getvalue().splitlines()
