"""Tests of `allowed_ips`: a key works from these addresses only, and grants no others."""

from typing import Any

from django.db import IntegrityError, transaction
from django.test import override_settings

from apikeys.models import ApiKey
from apikeys.plaintext import checksum
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import ApiClient, ApiTestCase
from web.ids import random_base62


class FormTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue()[1]
        self.key, _ = self.issue(scopes=["tests:read"])

    def test_allowed_ips_are_answered_in_one_spelling(self):
        for sent, shown in [
            (["192.0.2.7"], ["192.0.2.7"]),
            (["192.0.2.7/32"], ["192.0.2.7"]),
            (["192.0.2.0/24"], ["192.0.2.0/24"]),
            (["0.0.0.0/0"], ["0.0.0.0/0"]),
            (["2001:db8::7"], ["2001:db8::7"]),
            (["2001:DB8:0:0::/32"], ["2001:db8::/32"]),
            (["::/0", "::1"], ["::/0", "::1"]),
            (["fe80::/10"], ["fe80::/10"]),
            (["::ffff:192.0.2.7"], ["192.0.2.7"]),
            (["::FFFF:c000:207"], ["192.0.2.7"]),
            (["::ffff:192.0.2.0/120"], ["192.0.2.0/24"]),
            (["::ffff:0:0/96"], ["0.0.0.0/0"]),
            (["::1.2.3.4"], ["::102:304"]),
            (["64:ff9b::/96"], ["64:ff9b::/96"]),
            (["10.0.0.2", "10.0.0.1", "10.0.0.2/32"], ["10.0.0.2", "10.0.0.1"]),
            (["10.0.0.0/8", "10.1.0.0/16"], ["10.0.0.0/8", "10.1.0.0/16"]),
            ([f"10.0.0.{i}" for i in range(20)], [f"10.0.0.{i}" for i in range(20)]),
            (None, None),
        ]:
            with self.subTest(str(sent)[:60]):
                created = self.api.send("/v1/keys", {"name": "x", "allowed_ips": sent})
                self.assertEqual(created.status_code, 201, created.content)
                self.assertEqual(created.json()["allowed_ips"], shown)
                changed = self.api.change(f"/v1/keys/{self.key.id}", {"allowed_ips": sent})
                self.assertEqual(changed.status_code, 200)
                self.assertEqual(changed.json()["allowed_ips"], shown)

    def test_invalid_allowed_ips_are_refused_on_create_and_on_change(self):
        table: list[Any] = [
            [],
            [f"10.0.0.{i}" for i in range(21)],
            ["10.0.0.1"] * 21,
            *(
                [text]
                for text in (
                    "192.0.2.7/24", "192.0.2.7/33", "192.0.2.7/-1", "192.0.2.7/", "/24",
                    "192.0.2.0/255.255.255.0", "192.0.2.0/0.0.0.255", "192.0.2", "192.0.2.256",
                    "192.0.2.07", "0xc0.0.2.7", "3221225991", "192.0.2.7:443", "192.0.2.*",
                    "192.0.2.1-192.0.2.9", " 192.0.2.7", "192.0.2.7 ", "192.0.2.7\n",
                    "192.0.2.7\x00", "192.0.2.7,192.0.2.8", "١٩٢.0.2.7", "192。0。2。7",
                    "2001:db8::7/129", "2001:db8::7/32", "2001:db8:::7", "2001:db8::7::1",
                    "[2001:db8::7]", "fe80::1%eth0", "fe80::1%", "1:2:3:4:5:6:7:8:9", ":", "::/",
                    "::ffff:192.0.2.7/120", "example.com", "localhost", "any", "*", "", "null",
                    "1" * 5000, ":" * 5000,
                )
            ),
            [None], [5], [True], [["192.0.2.7"]], [{}], ["192.0.2.7", None],
            "192.0.2.7", "", 5, True, {}, {"0": "192.0.2.7"},
        ]  # fmt: skip
        for sent in table:
            with self.subTest(repr(sent)[:60]):
                for response in (
                    self.api.send("/v1/keys", {"name": "x", "allowed_ips": sent}),
                    self.api.change(f"/v1/keys/{self.key.id}", {"allowed_ips": sent}),
                ):
                    self.assertRefused(response, 400, "parameter_invalid", field="allowed_ips")
                    self.assertNothingWritten(response)

    def test_network_with_host_bits_set_is_refused_with_a_suggestion(self):
        body = {"name": "x", "allowed_ips": ["192.0.2.7/24"]}
        error = self.api.send("/v1/keys", body).json()["error"]
        self.assertIn("192.0.2.7/24", error["message"])
        self.assertIn("“192.0.2.0/24”", error["fix"])

    def test_database_refuses_empty_or_malformed_allowed_ips(self):
        for value in ([], ["192.0.2.7/24"], ["x"]):
            with self.subTest(value), self.assertRaises(Exception) as caught, transaction.atomic():
                ApiKey.objects.filter(pk=self.key.pk).update(allowed_ips=value)
            if value == []:
                self.assertIsInstance(caught.exception, IntegrityError)
                self.assertIn("api_key_allowed_ips_null_or_not_empty", str(caught.exception))


class InheritanceTests(ApiTestCase):
    def setUp(self) -> None:
        self.own = ["127.0.0.0/9", "127.128.0.0/9", "2001:db8::/32"]
        self.caller, self.api = self.issue(allowed_ips=self.own)

    def test_create_without_allowed_ips_inherits_the_callers_list(self):
        self.assertEqual(self.api.send("/v1/keys", {"name": "x"}).json()["allowed_ips"], self.own)

    def test_caller_without_allowed_ips_may_grant_any(self):
        _, free = self.issue()
        self.assertIsNone(free.send("/v1/keys", {"name": "x"}).json()["allowed_ips"])
        for sent in (None, ["192.0.2.7"]):
            response = free.send("/v1/keys", {"name": "x", "allowed_ips": sent})
            self.assertEqual(response.status_code, 201)

    def test_caller_may_grant_a_subset_of_its_allowed_ips_and_nothing_wider(self):
        for sent, given in [
            (["127.0.0.1"], True),
            (["127.0.0.0/9"], True),
            (["127.0.0.0/8"], True),  # The two halves together.
            (["2001:db8:1::/48", "127.1.1.1"], True),
            (["::ffff:127.0.0.1"], True),
            (["2001:db8::/32"], True),
            (["126.0.0.0/7"], False),
            (["128.0.0.1"], False),
            (["127.0.0.1", "128.0.0.1"], False),
            (["2001:db8::/31"], False),
            (["::/0"], False),
            (["0.0.0.0/0"], False),
            (["::7f00:1"], False),  # Not an IPv4-mapped address, so another one.
            (None, False),
        ]:
            with self.subTest(sent):
                response = self.api.send("/v1/keys", {"name": "x", "allowed_ips": sent})
                if given:
                    self.assertEqual(response.status_code, 201, response.content)
                else:
                    error = self.assertRefused(response, 403, "exceeds_caller", field="allowed_ips")
                    self.assertIn(", ".join(self.own), error["message"])

    def test_caller_with_two_adjacent_networks_may_grant_their_union(self):
        _, caller = self.issue(allowed_ips=["127.0.0.0/9", "127.128.0.0/9"])
        answer = caller.send("/v1/keys", {"name": "x", "allowed_ips": ["127.0.0.0/8"]})
        self.assertEqual(answer.status_code, 201, answer.content)
        answer = caller.send("/v1/keys", {"name": "x", "allowed_ips": ["126.0.0.0/7"]})
        self.assertRefused(answer, 403, "exceeds_caller", field="allowed_ips")


class EnforcementTests(ApiTestCase):
    def assertSeen(self, client: ApiClient, address: str | None, **meta: Any) -> None:
        """Check that the request is refused, and as coming from `address`."""
        response = client.get("/v1/auth/me", **meta)
        error = self.assertRefused(response, 403, "ip_not_allowed")
        self.assertIn(f"from {address or 'an address that cannot be known'}", error["message"])

    def works(self, client: ApiClient, **meta: Any) -> bool:
        return bool(client.get("/v1/auth/me", **meta).status_code == 200)

    def setUp(self) -> None:
        self.api = self.issue(allowed_ips=["192.0.2.0/24", "2001:db8::/32"])[1]

    def test_request_from_an_allowed_address_passes_and_from_any_other_is_refused(self):
        for address in ("192.0.2.0", "192.0.2.255", "2001:db8::1", "::ffff:192.0.2.7"):
            self.assertTrue(self.works(self.api, REMOTE_ADDR=address), address)
        for address, seen in [
            ("192.0.3.0", "192.0.3.0"),
            ("192.0.1.255", "192.0.1.255"),
            ("2001:db9::", "2001:db9::"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::192.0.2.7", "::c000:207"),
            ("", None),
            ("/run/socket", None),
        ]:
            with self.subTest(address):
                self.assertSeen(self.api, seen, REMOTE_ADDR=address)

    def test_key_without_allowed_ips_works_from_any_address_or_none(self):
        _, free = self.issue()
        for address in ("203.0.113.9", "2001:db9::", "", "/run/socket"):
            self.assertTrue(self.works(free, REMOTE_ADDR=address))

    def test_all_ipv4_addresses_allowed_excludes_ipv6_and_the_reverse(self):
        _, v4 = self.issue(allowed_ips=["0.0.0.0/0"])
        _, v6 = self.issue(allowed_ips=["::/0"])
        for address, results in [
            ("203.0.113.9", (True, False)),
            ("::ffff:203.0.113.9", (True, False)),
            ("2001:db9::", (False, True)),
            ("", (False, False)),
        ]:
            found = tuple(self.works(client, REMOTE_ADDR=address) for client in (v4, v6))
            self.assertEqual(found, results, address)

    def test_x_forwarded_for_set_by_the_client_is_ignored(self):
        good, bad, proxy = "192.0.2.7", "203.0.113.9", "10.0.0.1"
        for proxies, socket, forwarded, seen in [
            (0, good, None, good),
            (0, bad, good, bad),
            (0, good, bad, good),
            (1, proxy, good, good),
            (1, proxy, f"{good}, {bad}", bad),
            (1, proxy, f"{bad}, {good}", good),
            (1, good, None, None),
            (1, proxy, f"{good}:443", good),
            (1, proxy, f"{bad}:443", bad),
            (1, proxy, "unknown", None),
            (2, proxy, f"{good}, {proxy}", good),
            (2, proxy, f"{good}, {bad}, {proxy}", bad),
            (2, proxy, good, None),
            (2, good, f"nonsense, {proxy}", None),
            (2, proxy, f"::ffff:{good}, {proxy}", good),
        ]:
            meta = {"REMOTE_ADDR": socket}
            if forwarded is not None:
                meta["HTTP_X_FORWARDED_FOR"] = forwarded
            with (
                self.subTest(proxies=proxies, socket=socket, forwarded=forwarded),
                override_settings(TRUSTED_PROXY_COUNT=proxies),
            ):
                if seen == good:
                    self.assertTrue(self.works(self.api, **meta))
                else:
                    self.assertSeen(self.api, seen, **meta)

    def test_wrong_secret_from_a_wrong_address_is_401_and_not_ip_not_allowed(self):
        body = self.api.key[:17] + random_base62(32)
        wrong = ApiClient(body + checksum(body))
        for address in ("192.0.2.7", "203.0.113.9"):
            response = wrong.get("/v1/auth/me", REMOTE_ADDR=address)
            self.assertRefused(response, 401, "api_key_invalid")

    def test_suspended_and_revoked_take_precedence_over_a_wrong_address(self):
        self.acme.suspend(actor=Actor.cli(), reason="unpaid")
        self.assertRefused(self.api.get("/v1/auth/me"), 403, "organization_suspended")
        revoke(ApiKey.objects.get(), actor=Actor.cli())
        self.assertRefused(self.api.get("/v1/auth/me"), 401, "api_key_invalid")

    def test_every_endpoint_refuses_a_wrong_address(self):
        api_key = ApiKey.objects.get()
        path = f"/v1/keys/{api_key.id}"
        for response in [
            self.api.get("/v1/keys"),
            self.api.send("/v1/keys", {"name": "x"}),
            self.api.get(path),
            self.api.change(path, {"allowed_ips": None}),
            self.api.send(f"{path}/rotate", {}),
            self.api.send(f"{path}/finish_rotation", {}),
            self.api.get(f"{path}/events"),
            self.api.get("/v1/events"),
            self.api.delete(path),
        ]:
            self.assertRefused(response, 403, "ip_not_allowed")
        self.assertEqual(self.actions(api_key), ["issued"])
