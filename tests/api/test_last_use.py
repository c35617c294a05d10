"""Tests of last use (when, from where, by what client) and of the durability of counting."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from django.db import connection, transaction

from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase
from tests.support.committed import CommittedTestCase

NOON = datetime(2026, 3, 10, 12, 0, 20, tzinfo=UTC)
DAY = timedelta(days=1)


class LastUseTests(ApiTestCase):
    def setUp(self) -> None:
        traveller = time_machine.travel(NOON, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)
        self.api_key, self.api = self.issue()

    def ask(self, client: ApiClient | None = None, **extra: Any) -> Answer:
        return (client or self.api).get("/v1/auth/me", **extra)

    def secret(self, api_key: ApiKey | None = None) -> KeySecret:
        return KeySecret.objects.get(api_key=api_key or self.api_key)

    def test_last_use_is_kept_to_the_minute_with_address_and_user_agent(self):
        self.assertIsNone(self.secret().last_used_at)
        self.ask(REMOTE_ADDR="192.0.2.7", headers={"User-Agent": "curl/8.5.0"})
        for seconds in (30, 29.9):
            self.clock.shift(seconds)
            self.ask(REMOTE_ADDR="192.0.2.8")
        secret = self.secret()
        self.assertEqual(secret.last_used_at, NOON)
        self.assertEqual(secret.last_used_ip, "192.0.2.7")
        self.assertEqual(secret.last_used_user_agent, "curl/8.5.0")

        self.clock.move_to(NOON + timedelta(minutes=1))
        self.ask(REMOTE_ADDR="2001:db8::1", headers={"User-Agent": "python\x00-httpx ü"})
        secret = self.secret()
        self.assertEqual(secret.last_used_at, NOON + timedelta(minutes=1))
        self.assertEqual(secret.last_used_ip, "2001:db8::1")
        self.assertNotIn("\x00", secret.last_used_user_agent)

    def test_last_use_moves_back_only_from_an_implausible_future(self):
        self.ask(REMOTE_ADDR="192.0.2.7")
        for back, time, address in (
            (59, NOON, "192.0.2.7"),
            (61, NOON - timedelta(seconds=120), "192.0.2.8"),
        ):
            self.clock.shift(-back)
            self.ask(REMOTE_ADDR="192.0.2.8")
            secret = self.secret()
            self.assertEqual((secret.last_used_at, secret.last_used_ip), (time, address))

    def test_last_use_is_noted_for_refused_requests_of_a_live_key_only(self):
        bound_key, bound = self.issue(allowed_ips=["192.0.2.7"])
        self.assertEqual(self.ask(bound, REMOTE_ADDR="192.0.2.8").status_code, 403)
        self.assertEqual(self.secret(bound_key).last_used_ip, "192.0.2.8")
        revoke(self.api_key, actor=Actor.cli())
        self.assertEqual(self.ask().status_code, 401)
        self.assertIsNone(self.secret().last_used_at)


SHOW = "SHOW synchronous_commit"


class DurabilityTests(CommittedTestCase):
    def show(self) -> str:
        with connection.cursor() as cursor:
            cursor.execute(SHOW)
            setting: str = cursor.fetchone()[0]
        return setting

    def test_counting_a_request_does_not_wait_for_the_disk(self):
        client = self.issue()[1]
        self.assertEqual(self.show(), "on")
        for setting in ("local", "off"):  # A first use waits for the disk, but not for a replica.
            with transaction.atomic():
                self.as_caller(client)
                self.assertEqual(self.show(), setting)
            self.assertEqual(self.show(), "on")

    def test_change_by_a_verb_is_on_disk_before_the_answer(self):
        client = self.issue()[1]
        seen = []

        def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            if "apikeys_apikey" in sql and sql.startswith("INSERT"):
                seen.append(self.show())
            return result

        with connection.execute_wrapper(watch):
            self.assertEqual(client.send("/v1/keys", {"name": "x"}).status_code, 201)
        self.assertEqual(seen, ["on"])
