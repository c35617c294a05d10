"""Ways out of limits that an attacker has tried: each ends in a refusal."""

from datetime import timedelta

from django.utils import timezone

from apikeys.models import ApiKey
from tests.cast import ApiClient, ApiTestCase


def path(api_key: ApiKey, verb: str = "") -> str:
    return f"/v1/keys/{api_key.id}{verb}"


class RotatedOutTests(ApiTestCase):
    """A secret leaked, its owner has rotated the key, and whoever has the old one wants to stay."""

    def setUp(self) -> None:
        self.admin_key, self.admin = self.issue(name="admin")
        self.key, self.leaked = self.issue(name="leaked")
        self.owner = self.rotate(self.admin, self.key, overlap_seconds=600)

    def end_of(self, client: ApiClient) -> str | None:
        """Return when a secret of the key ends, as the API shows it."""
        shown = self.owner.get(path(self.key)).json()["secrets"]
        ends = {secret["locator"]: secret["expires_at"] for secret in shown}
        end: str | None = ends[client.key[8:16]]
        return end

    def test_it_cannot_free_itself_by_revoking_the_key_that_rotated_it(self):
        child = self.make(self.leaked)[1]
        for attacker in (child, self.leaked):
            response = attacker.delete(path(self.admin_key) + "?cascade=true")
            self.assertEqual(response.json()["cascade"]["secrets_restored"], 0)
        answer = self.leaked.get(path(self.key)).json()
        (left,) = answer["secrets"]
        self.assertEqual(left["locator"], self.leaked.key[8:16])
        self.assertIsNotNone(left["expires_at"])
        made = self.make(self.leaked)[0]
        assert made.expires_at
        self.assertLessEqual(made.expires_at, timezone.now() + timedelta(minutes=10))

    def test_its_owner_gets_it_back_from_a_thief_who_rotated_it(self):
        thief_key, thief = self.issue(name="thief")
        api_key, kept = self.issue(name="kept")
        self.rotate(thief, api_key, overlap_seconds=600)
        answer = self.admin.delete(path(thief_key) + "?cascade=true").json()
        self.assertEqual(answer["cascade"]["secrets_restored"], 1)
        (secret,) = kept.get(path(api_key)).json()["secrets"]
        self.assertIsNone(secret["expires_at"])

    def test_it_cannot_rotate_though_its_key_ends_no_later(self):
        end = (timezone.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for scopes in (["tests:read"], None):
            with self.subTest(scopes):
                fields = {"expires_at": end, **({"scopes": scopes} if scopes else {})}
                api_key, old = self.make(self.admin, **fields)
                new = self.rotate(old, api_key)  # A day's overlap: the old one ends with the key.
                self.assertRefused(old.send(path(api_key, "/rotate"), {}), 403, "exceeds_caller")
                self.assertEqual(new.get("/v1/auth/me").status_code, 200)

    def test_it_cannot_shorten_its_key_and_rotate_it_then(self):
        child = self.make(self.leaked)[1]
        for attacker in (self.leaked, child):
            with self.subTest(attacker.key[8:16]):
                end = self.end_of(self.leaked)
                self.assertEqual(
                    attacker.change(path(self.key), {"expires_at": end}).status_code, 200
                )
                for hand in (self.leaked, child):
                    response = hand.send(path(self.key, "/rotate"), {})
                    self.assertRefused(response, 403, "exceeds_caller")
                self.admin.change(path(self.key), {"expires_at": None})


class NarrowedTests(ApiTestCase):
    """An unrestricted key with a limit wants the secret of a key that has none."""

    def test_it_cannot_narrow_that_key_to_its_own_limits_and_rotate_it_then(self):
        end = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for limits in (
            {"max_tests_per_month": 5},
            {"expires_at": end},
            {"allowed_ips": ["127.0.0.1"]},
        ):
            with self.subTest(limits):
                _, limited = self.make(self.issue()[1], **limits)
                target, _ = self.issue()
                for _ in range(2):  # What it narrowed once lies within its own the second time.
                    self.assertEqual(limited.change(path(target), limits).status_code, 200)
                    self.assertEqual(
                        limited.change(path(target), {"scopes": ["tests:read"]}).status_code, 200
                    )
                    response = limited.send(path(target, "/rotate"), {})
                    self.assertRefused(response, 403, "exceeds_caller")
                self.assertEqual(target.secrets.count(), 1)

    def test_a_key_without_limits_may_rotate_it_and_so_may_all_after_its_owners_change(self):
        _, owner = self.issue()
        _, limited = self.make(owner, max_tests_per_month=5)
        target, _ = self.issue()
        limited.change(path(target), {"max_tests_per_month": 5})

        self.assertEqual(owner.send(path(target, "/rotate"), {}).status_code, 200)
        owner.change(path(target), {"max_tests_per_month": 4})
        self.assertEqual(limited.send(path(target, "/rotate"), {}).status_code, 200)

    def test_another_name_is_no_narrowing(self):
        _, owner = self.issue()
        _, limited = self.make(owner, max_tests_per_month=5)
        target, _ = self.issue()
        self.assertEqual(limited.change(path(target), {"name": "x"}).status_code, 200)
        self.assertIsNone(ApiKey.objects.get(pk=target.pk).lowered_at)
