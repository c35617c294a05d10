"""Tests of `manage.py change_plan`: an organization's plan and its own limits."""

import io

from django.core.management import CommandError, call_command

from audit.models import AuditEvent
from tests.support.cast import ApiTestCase

LIMITS = ("requests_per_minute", "tests_limit", "domains_limit")


class ChangePlanTests(ApiTestCase):
    def setUp(self) -> None:
        self.client_of_globex = self.issue(organization=self.globex)[1]

    def call(self, *args: str) -> str:
        """Run the command for Globex; return its stdout."""
        out, self.err = io.StringIO(), io.StringIO()
        options = (self.globex.id, "--reason", "contract 5", *args)
        call_command("change_plan", *options, stdout=out, stderr=self.err)
        self.globex.refresh_from_db()
        return out.getvalue()

    def refused(self, message: str, *args: str) -> None:
        with self.assertRaisesMessage(CommandError, message):
            call_command("change_plan", *args, stdout=io.StringIO(), stderr=io.StringIO())

    def overrides(self) -> list[int | None]:
        return [getattr(self.globex, name) for name in LIMITS]

    def test_change_plan_holds_from_the_next_request_on(self):
        self.assertEqual(self.call("--plan", "business"), "business\n")
        self.assertIn("Changed Globex", self.err.getvalue())
        response = self.client_of_globex.get("/v1/auth/me")
        self.assertEqual(response["RateLimit-Limit"], "300")
        self.assertEqual(response.json()["organization"]["plan"], "business")
        self.assertEqual(response.json()["usage"]["tests_limit"], 7500)

    def test_change_plan_sets_single_limits_and_gives_them_back_to_the_plan(self):
        limits = ("--requests-per-minute=7", "--tests-limit=0", "--domains-limit=999999999")
        self.assertEqual(self.call(*limits), "free\n")
        self.assertEqual(self.overrides(), [7, 0, 999_999_999])
        response = self.client_of_globex.get("/v1/auth/me")
        self.assertEqual(response["RateLimit-Limit"], "7")
        self.assertEqual(response.json()["usage"]["tests_limit"], 0)
        self.call("--plan=team", "--tests-limit=plan")
        self.assertEqual(self.overrides(), [7, None, 999_999_999])
        self.assertEqual(
            self.client_of_globex.get("/v1/auth/me").json()["usage"]["tests_limit"], 1000
        )

    def test_change_plan_writes_one_event_with_before_and_after_if_anything_changes(self):
        self.call("--plan=starter", "--tests-limit=300")
        event = AuditEvent.objects.get(action="organization.plan_changed", reason="contract 5")
        self.assertEqual((event.actor_type, event.target_id), ("cli", self.globex.id))
        self.assertEqual(event.changes, {"plan": ["free", "starter"], "tests_limit": [None, 300]})
        self.call("--plan=starter", "--tests-limit=300")
        self.assertIn("nothing changed", self.err.getvalue())
        self.assertEqual(AuditEvent.objects.filter(reason="contract 5").count(), 1)

    def test_change_plan_with_a_wrong_argument_says_so_and_changes_nothing(self):
        who, why = self.globex.id, "--reason=x"
        self.refused("Did you mean starter?", who, why, "--plan=startr")
        self.refused("no organization", "org_000000000000", why, "--plan=team")
        self.refused("visible character", who, "--reason= ", "--plan=team")
        self.refused("required: --reason", who, "--plan=team")
        for wrong in ("-1", "1.5", "many", "", "٣", "1" * 10, "None"):
            for name in LIMITS:
                option = f"--{name.replace('_', '-')}={wrong}"
                self.refused("at most 9 digits, or “plan”", who, why, option)
        self.globex.refresh_from_db()
        self.assertEqual((self.globex.plan_id, self.overrides()), ("free", [None] * 3))
