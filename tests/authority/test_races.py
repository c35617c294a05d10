"""Tests of verbs that meet each other: real threads, real transactions."""

import time
from collections import Counter
from datetime import timedelta
from functools import partial

from django.contrib.admin.utils import quote

from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.rotate import rotate
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient
from tests.support.committed import in_threads
from tests.support.races import Call, RaceTestCase, delete, get, patch, post
from tests.support.staff import filled_in

MANY = 8


class RotationRaceTests(RaceTestCase):
    def test_concurrent_rotations_leave_two_live_secrets_and_one_event_each(self):
        target, first = self.issue()
        _, manager = self.issue()
        rotate = post(manager, f"/v1/keys/{target.pk}/rotate", {})

        for _ in range(2):
            answers = in_threads(*[rotate] * MANY)
            self.assertEqual([answer.status_code for answer in answers], [200] * MANY)

        events = AuditEvent.objects.filter(action="api_key.rotated").order_by("sequence")
        steps = [event.changes["secret"] for event in events]
        self.assertEqual(len(steps), 2 * MANY)
        self.assertEqual({old for old, _ in steps}, {first.key[8:16]})
        # Each rotation replaced what the one before it had issued.
        replaced = [event.changes.get("ended_secret", [None])[0] for event in events]
        self.assertEqual(replaced, [None, *(new for _, new in steps[:-1])])
        shown = {answer.json()["key"][8:16] for answer in answers}
        self.assertEqual(shown, {new for _, new in steps[MANY:]})
        retiring, newest = self.live_secrets(target.pk)
        self.assertEqual([retiring.locator, newest.locator], steps[-1])
        self.assertIsNone(newest.expires_at)
        self.assertIsNotNone(retiring.expires_at)
        uses = [get(ApiClient(answer.json()["key"]))() for answer in answers]
        self.assertEqual(Counter(use.status_code for use in uses), {200: 1, 401: MANY - 1})
        self.assertEqual(get(first)().status_code, 200)

    def test_concurrent_rotations_by_the_keys_own_secret_succeed_once(self):
        for overlap, status, code in [(60, 403, "exceeds_caller"), (0, 401, "api_key_expired")]:
            with self.subTest(overlap):
                key, old = self.issue(scopes=["tests:read"])
                rotate = post(old, f"/v1/keys/{key.pk}/rotate", {"overlap_seconds": overlap})

                done, *refused = self.in_order(*[rotate] * MANY)

                self.assertEqual(done.status_code, 200)
                for answer in refused:
                    self.assertRefused(answer, status, code)
                self.assertEqual(KeySecret.objects.filter(api_key=key).count(), 2)
                newest = self.live_secrets(key.pk)[-1]
                self.assertEqual(newest.locator, done.json()["key"][8:16])

    def test_concurrent_rotation_and_finish_rotation_succeed_in_either_order(self):
        _, manager = self.issue()
        for order, live in [(["rotate", "finish_rotation"], 1), (["finish_rotation", "rotate"], 2)]:
            with self.subTest(order):
                key, _ = self.issue()
                rotate(key, actor=Actor.cli(), overlap=timedelta(days=1))
                calls = [post(manager, f"/v1/keys/{key.pk}/{verb}", {}) for verb in order]

                answers = self.in_order(*calls)

                self.assertEqual([answer.status_code for answer in answers], [200, 200])
                self.assertEqual(len(self.live_secrets(key.pk)), live)

    def test_concurrent_rotation_and_revocation_leave_no_live_secret_in_either_order(self):
        _, manager = self.issue()
        for order in (["rotate", "revoke"], ["revoke", "rotate"]):
            with self.subTest(order):
                key, old = self.issue()
                path = f"/v1/keys/{key.pk}"
                calls = {"rotate": post(manager, f"{path}/rotate", {})}
                calls["revoke"] = delete(manager, path)

                answers = self.in_order(*[calls[verb] for verb in order])
                rotated, revoked = answers if order[0] == "rotate" else reversed(answers)

                self.assertEqual(revoked.status_code, 200)
                self.assertRefused(get(old)(), 401, "api_key_invalid")
                if order[0] == "revoke":
                    self.assertRefused(rotated, 409, "key_not_active")
                else:
                    new = ApiClient(rotated.json()["key"])
                    self.assertRefused(get(new)(), 401, "api_key_invalid")


class CascadeRaceTests(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        _, self.manager = self.issue()

    def cascade(self, root: ApiKey) -> Call:
        return delete(self.manager, f"/v1/keys/{root.pk}?cascade=true")

    def test_child_made_just_before_its_makers_cascade_is_revoked(self):
        root, client = self.issue()
        make = post(client, "/v1/keys", {"name": "child"})
        child, cascade = self.in_order(make, self.cascade(root))

        self.assertEqual(child.status_code, 201)
        counts = {"keys_revoked": 1, "secrets_ended": 0}
        self.assertEqual(cascade.json()["cascade"], counts)
        self.assertRefused(get(ApiClient(child.json()["key"]))(), 401, "api_key_invalid")
        self.assertActive(self.manager)

    def test_secret_issued_just_before_its_issuers_cascade_is_ended(self):
        root, client = self.issue()
        target, owner = self.issue()
        rotate = post(client, f"/v1/keys/{target.pk}/rotate", {})
        rotation, cascade = self.in_order(rotate, self.cascade(root))

        self.assertEqual(rotation.status_code, 200)
        counts = {"keys_revoked": 0, "secrets_ended": 1}
        self.assertEqual(cascade.json()["cascade"], counts)
        self.assertRefused(get(ApiClient(rotation.json()["key"]))(), 401, "api_key_expired")
        self.assertEqual(get(owner)().status_code, 200)
        (secret,) = self.live_secrets(target.pk)
        self.assertEqual(secret.locator, owner.key[8:16])
        self.assertIsNotNone(secret.expires_at)

    def test_create_and_rotate_just_after_the_callers_cascade_are_refused(self):
        root, client = self.issue()
        target, owner = self.issue()
        cascade, *late = self.in_order(
            self.cascade(root),
            post(client, "/v1/keys", {"name": "child"}),
            post(client, f"/v1/keys/{target.pk}/rotate", {}),
        )
        self.assertEqual(cascade.status_code, 200)
        for answer in late:
            self.assertRefused(answer, 401, "api_key_invalid")
        self.assertEqual(len(self.live_secrets(target.pk)), 1)
        self.assertActive(self.manager, owner)

    def test_no_descendant_survives_a_cascade_at_any_time(self):
        for round_number in range(5):
            root, client = self.issue()
            plaintexts: list[str] = []

            in_threads(
                *[partial(breed, client, plaintexts)] * 3,
                partial(stop, self.cascade(root), after=round_number / 50),
            )

            self.assertActive(self.manager)
            codes = {get(ApiClient(key))().json()["error"]["code"] for key in plaintexts}
            self.assertLessEqual(codes, {"api_key_invalid", "api_key_expired"})


def breed(maker: ApiClient, plaintexts: list[str]) -> None:
    """Make children that rotate themselves and make children, until that is refused."""
    for _ in range(10):
        made = post(maker, "/v1/keys", {"name": "child"})()
        if made.status_code == 401:
            return
        plaintexts.append(made.json()["key"])
        path = f"/v1/keys/{made.json()['id']}/rotate"
        rotated = post(ApiClient(plaintexts[-1]), path, {"overlap_seconds": 0})()
        if rotated.status_code == 401:
            return
        plaintexts.append(rotated.json()["key"])
        grandchild = post(ApiClient(rotated.json()["key"]), "/v1/keys", {"name": "grandchild"})()
        if grandchild.status_code == 201:
            plaintexts.append(grandchild.json()["key"])


def stop(cascade: Call, *, after: float) -> None:
    time.sleep(after)
    assert cascade().status_code == 200


class LimitRaceTests(RaceTestCase):
    def test_key_limit_is_exact_under_concurrent_creates(self):
        _, client = self.issue()
        _, sandbox = self.issue(livemode=False)
        self.acme.plan.active_keys_limit = 10
        self.acme.plan.save()
        makes = [post(each, "/v1/keys", {"name": "more"}) for each in (client, sandbox)]

        def make_six() -> list[Answer]:
            return [make() for make in makes * 3]

        answers = [answer for six in in_threads(*[make_six] * MANY) for answer in six]

        refused = [answer for answer in answers if answer.status_code != 201]
        self.assertEqual(len(answers) - len(refused), 18)
        for answer in refused:
            self.assertRefused(answer, 403, "key_limit_reached")
        for livemode in (True, False):
            self.assertEqual(ApiKey.objects.filter(livemode=livemode).count(), 10)


class ChangeRaceTests(RaceTestCase):
    def test_concurrent_changes_of_different_fields_are_all_kept(self):
        key, _ = self.issue()
        _, manager = self.issue()
        changes = {
            "name": "Renamed",
            "scopes": ["tests:read"],
            "expires_at": "2035-01-31T12:00:00Z",
            "allowed_ips": ["192.0.2.7"],
        }
        path = f"/v1/keys/{key.pk}"

        answers = self.in_order(*[patch(manager, path, {n: v}) for n, v in changes.items()])

        self.assertEqual([answer.status_code for answer in answers], [200] * 4)
        shown = manager.get(path).json()
        self.assertEqual({name: shown[name] for name in changes}, changes)
        events = AuditEvent.objects.filter(action="api_key.changed")
        self.assertEqual(
            sorted(list(event.changes) for event in events), sorted([name] for name in changes)
        )


class StaleFormTests(RaceTestCase):
    def test_form_that_waited_for_the_lock_is_compared_with_the_key_under_it(self):
        key, old = self.issue()
        browser = self.staff()
        url = f"/admin/apikeys/apikey/{quote(key.pk)}/rotate/"
        form = filled_in(browser, url, overlap="0", reason="asked for")
        with self.queue() as queue:
            self.lock_organization()
            queue.add(lambda: browser.post(url, form))
            rotate(key, actor=Actor.cli(), overlap=timedelta(hours=1))

        self.assertEqual(queue.answers()[0].status_code, 302)
        self.assertEqual(get(old)().status_code, 200)
        self.assertEqual(KeySecret.objects.filter(api_key=key).count(), 2)
