"""Tests of `manage.py watch_keys`: each end and each unused key is told once."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import time_machine
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import OutboxRow
from notices.models import KeyNote
from tests.support.cast import ApiTestCase
from tests.support.committed import CommittedTestCase, in_threads
from tests.support.notices import add_contact

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def watch() -> str:
    out = io.StringIO()
    call_command("watch_keys", stdout=out)
    return out.getvalue().strip()


class WatchKeysTests(ApiTestCase):
    def setUp(self) -> None:
        add_contact(self.acme)
        traveller = time_machine.travel(NOON - 200 * DAY, tick=False)
        self.clock = traveller.start()
        self.addCleanup(traveller.stop)

    def used(self, *, ends: datetime | None = None, used: datetime | None = NOON) -> ApiKey:
        """Make an old key that was used at noon."""
        api_key, _ = self.issue()
        ApiKey.objects.filter(pk=api_key.pk).update(expires_at=ends)
        KeySecret.objects.filter(api_key=api_key).update(last_used_at=used)
        OutboxRow.objects.all().delete()
        return api_key

    def found(self, now: datetime | None = None) -> list[str]:
        """Run the command at this time, twice. Return what it noted."""
        if now:
            self.clock.move_to(now)
        count = watch()
        self.assertEqual(watch(), "0 notices")
        rows = list(OutboxRow.objects.filter(id__startswith="ntc_"))
        self.assertEqual(count, f"{len(rows)} notices")
        rows_as_text = [f"{row.type.partition('.')[2]} {row.data.get('days', '')}" for row in rows]
        OutboxRow.objects.all().delete()
        return sorted(text.strip() for text in rows_as_text)

    def test_run_over_known_keys_reads_keys_and_notes_and_no_secrets_or_scopes(self):
        self.used(used=NOON)
        self.clock.move_to(NOON + 90 * DAY)
        self.assertEqual(watch(), "1 notices")
        # Keys, the notes between the two ends of a transaction, and no more keys.
        with self.assertNumQueries(5):
            watch()

    def test_each_end_is_told_30_7_and_1_days_before_and_when_it_has_come(self):
        self.used(ends=NOON + 31 * DAY)
        told = {
            day: found for day in range(40) if (found := self.found(NOON + day * DAY + day * HOUR))
        }
        self.assertEqual(
            told, {1: ["expiring 30"], 23: ["expiring 7"], 29: ["expiring 1"], 30: ["expired"]}
        )

    def test_missed_runs_lose_only_what_is_no_longer_true(self):
        for missed, found in (
            (2, ["expiring 30"]),
            (26, ["expiring 7"]),
            (44, ["expired"]),
            (46, []),
        ):
            with self.subTest(missed):
                self.used(ends=NOON + 31 * DAY)
                self.assertEqual(self.found(NOON + missed * DAY), found)
                KeyNote.objects.all().delete()
                ApiKey.objects.update(expires_at=None)
                self.clock.move_to(NOON - 200 * DAY)

    def test_changed_end_is_told_anew_and_the_same_end_never_twice(self):
        first, later = NOON + 6 * DAY, NOON + 20 * DAY
        api_key = self.used(ends=first)
        told = []
        for end in (first, later, first, later):
            ApiKey.objects.filter(pk=api_key.pk).update(expires_at=end)
            told.append(self.found(NOON))
        self.assertEqual(told, [["expiring 7"], ["expiring 30"], [], []])

    def test_key_made_for_a_few_days_is_not_said_to_end_in_thirty(self):
        for days, found in ((30, ["expiring 30"]), (20, []), (7, ["expiring 7"]), (0.5, [])):
            with self.subTest(days):
                self.clock.move_to(NOON)
                self.issue(expires_at=NOON + days * DAY)
                OutboxRow.objects.all().delete()
                self.assertEqual(self.found(), found)
                ApiKey.objects.update(expires_at=None)

    def test_key_is_unused_90_days_after_its_last_use_or_its_creation(self):
        for used, at, found in (
            (NOON, NOON + 89 * DAY, []),
            (NOON, NOON + 90 * DAY, ["unused"]),
            (NOON, NOON + 400 * DAY, ["unused"]),
            (None, NOON - 111 * DAY, []),
            (None, NOON - 110 * DAY, ["unused"]),
        ):
            with self.subTest(used=used, at=at):
                self.clock.move_to(NOON - 200 * DAY)
                api_key = self.used(used=used)
                self.assertEqual(self.found(at), found)
                revoke(api_key, actor=Actor.cli())

    def test_key_that_was_used_again_is_told_again_when_it_lies_idle_again(self):
        self.used()
        self.assertEqual(self.found(NOON + 100 * DAY), ["unused"])
        KeySecret.objects.update(last_used_at=NOON + 101 * DAY)
        self.assertEqual(self.found(NOON + 190 * DAY), [])
        self.assertEqual(self.found(NOON + 191 * DAY), ["unused"])

    def test_nothing_is_noted_of_revoked_keys_and_of_organizations_that_nobody_hears(self):
        api_key = self.used(ends=NOON + 5 * DAY)
        self.issue(organization=self.globex)
        with override_settings(EMAIL_FROM=""):
            self.assertEqual(self.found(NOON), [])
        revoke(api_key, actor=Actor.cli())
        OutboxRow.objects.all().delete()
        self.assertEqual(self.found(), [])

    def test_row_names_the_key_and_its_mode(self):
        self.clock.move_to(NOON - 200 * DAY)
        api_key, _ = self.issue(livemode=False)
        OutboxRow.objects.all().delete()
        self.clock.move_to(NOON)
        watch()
        row = OutboxRow.objects.get()
        self.assertEqual((row.target_type, row.target_id), ("api_key", api_key.pk))
        self.assertEqual((row.organization_id, row.livemode, row.data), (self.acme.pk, False, {}))

    def test_watch_keys_works_in_batches(self):
        for _ in range(5):
            self.used(ends=NOON + 5 * DAY)
        with mock.patch("notices.management.commands.watch_keys.BATCH", 2):
            self.assertEqual(self.found(NOON), ["expiring 7"] * 5)


class TwoRunsTests(CommittedTestCase):
    def test_two_runs_at_once_write_each_row_once(self):
        add_contact(self.acme)
        for days in range(40):
            api_key, _ = self.issue()
            ApiKey.objects.filter(pk=api_key.pk).update(
                created_at=timezone.now() - 99 * DAY, expires_at=timezone.now() + (days + 0.5) * DAY
            )
        OutboxRow.objects.all().delete()
        with mock.patch("notices.management.commands.watch_keys.BATCH", 3):
            in_threads(*[watch] * 4)
        rows: Any = OutboxRow.objects.values_list("type", flat=True)
        # 30 days and two hours before at most.
        self.assertEqual(sorted(rows), ["api_key.expiring"] * 30 + ["api_key.unused"] * 40)
        self.assertEqual(KeyNote.objects.count(), 70)
