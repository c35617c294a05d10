"""Tests of the partners' reports: signatures, public keys, bodies, feedback, and the 25 seconds."""

import hashlib
import io
import json
import ssl
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.conf import settings
from django.db import OperationalError
from django.test import Client, override_settings

from apikeys.models import ApiKey
from apikeys.plaintext import new_plaintext
from apikeys.verbs import leak
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from audit.models import AuditEvent
from notices.leaks import receiver, signatures
from notices.leaks.receiver import ORIGINS
from tests.support.captured import captured_logs
from tests.support.cast import Answer, ApiTestCase
from tests.support.dump import dumped
from tests.support.key_server import KeyServer, Scanner, drip, key_server, pem_of
from web.environ import MOST_REPORT_BYTES
from web.telemetry.logs import JsonFormatter, TextFormatter
from web.telemetry.metrics import REGISTRY

PATH = "/v1/leak_reports/github"
WORDS = {"github": "Github", "depsdev": "Gosst"}
BODY = b'[{"token":"x","type":"reachscore_api_key","url":"","source":"commit"}]'


class ReportTestCase(ApiTestCase):
    """`self.scanner` is GitHub, which publishes its key on `self.keys`."""

    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.keys = stack.enter_context(key_server())
        self.scanner = Scanner()
        self.keys.publish(Scanner("k0"), self.scanner)

    def send(
        self,
        body: bytes = BODY,
        *,
        signature: str | None = None,
        identifier: str | None = None,
        origin: str = "github",
        **more: Any,
    ) -> Answer:
        word = WORDS[origin]
        headers = {
            f"{word}-Public-Key-Identifier": identifier or self.scanner.identifier,
            f"{word}-Public-Key-Signature": self.scanner.sign(body)
            if signature is None
            else signature,
        }
        options = {"content_type": "application/json", "headers": headers, **more}
        client = Client(raise_request_exception=False)
        answer: Answer = client.post(f"/v1/leak_reports/{origin}", body, **options)
        return answer

    def report(self, *tokens: str, **more: Any) -> Answer:
        records = [
            {"token": token, "type": "some_type", "url": "https://x.example/", "source": "commit"}
            for token in tokens
        ]
        return self.send(json.dumps(records).encode(), **more)

    def labels(self, answer: Answer) -> list[str]:
        self.assertEqual(answer.status_code, 200, answer.content[:500])
        return [said["label"].removesuffix("_positive") for said in answer.json()]


class SignatureTests(ReportTestCase):
    def test_githubs_published_vector_is_accepted_and_changed_by_a_newline_it_is_not(self):
        body = (
            b'[{"source":"commit","token":"some_token","type":"some_type",'
            b'"url":"https://example.com/base-repo-url/"}]'
        )
        identifier = "bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c"
        signature = (
            "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji4"
            "10VQV4xg=="
        )
        key = load_der_public_key(
            b64decode(
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAdAjPuDPRcXU22YxgBrz+z"
                "oN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw=="
            )
        )
        self.scanner.identifier = identifier
        with mock.patch.object(
            Scanner, "listed", {"key_identifier": identifier, "key": pem_of(key)}
        ):
            self.keys.publish(self.scanner)
        answer = self.send(body, signature=signature)
        digest = hashlib.sha256(b"some_token").hexdigest()
        self.assertEqual(
            answer.json(),
            [{"token_hash": digest, "token_type": "some_type", "label": "false_positive"}],
        )
        for changed in (body + b"\n", body.replace(b",", b", "), b" " + body):
            self.assertRefused(self.send(changed, signature=signature), 401, "signature_invalid")

    def test_wrong_signatures_are_refused_before_anything_is_parsed(self):
        right = self.scanner.sign(BODY)
        raw = b64decode(right)
        foreign, p384 = Scanner(), Scanner(curve=ec.SECP384R1())
        halved = b64encode(raw[4 : 4 + 32] + raw[-32:]).decode()  # r and s, not DER.
        for name, signature in {
            "of another body": self.scanner.sign(BODY + b" "),
            "of another key": foreign.sign(BODY),
            "of another curve": p384.sign(BODY),
            "by another hash": self.scanner.sign(BODY, SHA384()),
            "cut": right[:-4],
            "cut in the middle": b64encode(raw[:-1]).decode(),
            "longer": b64encode(raw + b"\x00").decode(),
            "not DER": halved,
            "zeros": b64encode(b"\x30\x06\x02\x01\x00\x02\x01\x00").decode(),
            "no base64": "!" * 40,
            "base64 with a blank": f"{right[:8]} {right[8:]}",
            "base64url": right.replace("+", "-").replace("/", "_").replace("=", "") + "-",
            "hex": raw.hex(),
            "not ASCII": "é" * 20,
            "twice": f"{right},{right}",
            "long": "A" * 30_000,
        }.items():
            with self.subTest(name), mock.patch.object(receiver, "read_json") as parser:
                refused = self.send(signature=signature)
                self.assertRefused(refused, 401, "signature_invalid")
                self.assertTrue(refused["WWW-Authenticate"].startswith("Signature "))
                parser.assert_not_called()
        self.assertEqual(self.send(signature=right).status_code, 200)

    def test_key_that_is_not_on_p256_is_no_key(self):
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        listed = {
            "p384": Scanner(curve=ec.SECP384R1()).listed["key"],
            "p521": Scanner(curve=ec.SECP521R1()).listed["key"],
            "k1": Scanner(curve=ec.SECP256K1()).listed["key"],
            "rsa": pem_of(rsa_key.public_key()),
            "junk": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "surrogate": "\ud800",
        }
        rows = [{"key_identifier": name, "key": pem} for name, pem in listed.items()]
        self.scanner.identifier = "right"
        rows.append(self.scanner.listed)
        body = json.dumps({"public_keys": rows}).encode()
        self.keys.respond = lambda connection, _: KeyServer.send(connection, 200, body)
        self.assertEqual(self.send().status_code, 200)
        for name in ("p384", "p521", "rsa", "junk", "surrogate"):
            refused = self.send(identifier=name)
            self.assertRefused(refused, 401, "signature_invalid")

    def test_report_without_its_two_headers_looks_like_an_unknown_path(self):
        for origin, headers in (
            ("github", {}),
            ("github", {"Github-Public-Key-Identifier": "k1"}),
            ("github", {"Github-Public-Key-Signature": self.scanner.sign(BODY)}),
            ("github", {"Github-Public-Key-Identifier": "", "Github-Public-Key-Signature": ""}),
            ("github", {"Gosst-Public-Key-Identifier": "k1", "Gosst-Public-Key-Signature": "x"}),
            ("depsdev", {"Github-Public-Key-Identifier": "k1", "Github-Public-Key-Signature": "x"}),
            ("gitlab", {"Github-Public-Key-Identifier": "k1", "Github-Public-Key-Signature": "x"}),
        ):
            with self.subTest(origin, headers=list(headers)):
                path = f"/v1/leak_reports/{origin}"
                answer = Client().post(path, BODY, "application/json", headers=headers)
                self.assertRefused(answer, 404, "resource_not_found")
        self.assertEqual(self.keys.requests, [])
        self.assertRefused(Client().get(PATH), 405, "method_not_allowed")

    def test_nothing_of_the_body_is_read_before_headers_and_key_id_are_checked(self):
        class Unreadable(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise AssertionError(size)

        length: dict[str, Any] = {"CONTENT_LENGTH": str(len(BODY)), "wsgi.input": Unreadable()}
        table: list[tuple[dict[str, Any], int, str]] = [
            ({"identifier": "k9"}, 401, "signature_invalid"),
            ({"content_type": "text/plain"}, 415, "unsupported_media_type"),
            ({"CONTENT_LENGTH": ""}, 411, "length_required"),
            ({"CONTENT_LENGTH": str(MOST_REPORT_BYTES + 1)}, 413, "request_too_large"),
            ({"CONTENT_LENGTH": "9" * 4000}, 413, "request_too_large"),
            ({"HTTP_CONTENT_ENCODING": "gzip"}, 415, "unsupported_media_type"),
            ({"headers": {}}, 404, "resource_not_found"),
            ({"QUERY_STRING": "x=1"}, 400, "parameter_unknown"),
        ]
        for more, status, code in table:
            with self.subTest(code, more=str(more)[:60]):
                field = "x" if code == "parameter_unknown" else None
                self.assertRefused(self.send(**{**length, **more}), status, code, field=field)


class PublicKeyTests(ReportTestCase):
    def pass_by(self, seconds: float) -> None:
        """Let the keys of GitHub be older."""
        keys = ORIGINS["github"][1]
        for name in ("fetched_at", "tried_at"):
            moment = getattr(keys, name)
            setattr(keys, name, moment - seconds)

    def test_keys_are_fetched_through_the_proxy_once_and_then_by_their_etag(self):
        for _ in range(3):
            self.assertEqual(self.send().status_code, 200)
        (request,) = self.keys.requests
        self.assertTrue(request.startswith("CONNECT api.github.com:443 "))
        self.assertIn("GET /meta/public_keys/secret_scanning HTTP/1.1", request)
        self.assertNotIn("If-None-Match", request)
        self.pass_by(3601)
        self.assertEqual(self.send().status_code, 200)
        self.assertEqual(len(self.keys.requests), 2)
        self.assertIn("If-None-Match", self.keys.requests[1])
        self.assertEqual(self.send(origin="depsdev").status_code, 200)
        self.assertTrue(self.keys.requests[2].startswith("CONNECT storage.googleapis.com:443 "))
        path = "GET /depsdev-gcp-public-keys/secret_scanning HTTP/1.1"
        self.assertIn(path, self.keys.requests[2])

    def test_flood_of_unknown_ids_costs_one_fetch_a_minute_and_stops_no_report(self):
        for minute in range(1, 4):
            for n in range(20):
                refused = self.send(identifier=f"unknown{n}")
                self.assertRefused(refused, 401, "signature_invalid")
            self.assertEqual(self.send().status_code, 200)
            self.assertEqual(len(self.keys.requests), minute)
            self.pass_by(61)

    def test_new_key_is_believed_within_a_minute_and_a_withdrawn_one_no_more(self):
        self.assertEqual(self.send().status_code, 200)
        old, self.scanner = self.scanner, Scanner("k2")
        self.keys.publish(self.scanner)
        self.assertRefused(self.send(), 401, "signature_invalid")
        self.pass_by(61)
        self.assertEqual(self.send().status_code, 200)
        self.scanner = old
        self.assertRefused(self.send(), 401, "signature_invalid")

    def test_nothing_is_believed_while_the_keys_cannot_be_had(self):
        def answering(status: int, body: bytes, *headers: str) -> Any:
            return lambda connection, _: KeyServer.send(connection, status, body, *headers)

        def reset(connection: ssl.SSLSocket, _: str) -> None:
            connection.close()

        good = json.dumps({"public_keys": [self.scanner.listed]}).encode()
        for name, respond in {
            "redirecting": answering(302, good, "Location: https://evil.example/keys"),
            "refusing": answering(403, good),
            "failing": answering(500, good),
            "huge": answering(200, good + b" " * 2**18),
            "unchanged, though nothing was sent": answering(304, b""),
            "no JSON": answering(200, b"<html>"),
            "no UTF-8": answering(200, b"\xff\xfe"),
            "deep": answering(200, b"[" * 100_000),
            "a list": answering(200, b"[]"),
            "another shape": answering(200, b'{"public_keys": {"k1": "x"}}'),
            "of other types": answering(200, b'{"public_keys": [1, "x", {}, {"key": {}}]}'),
            "without keys": answering(200, b'{"public_keys": []}'),
            "cut": answering(200, good[:-1], "Content-Length: 5000"),
            "no HTTP": lambda connection, _: connection.sendall(b"220 smtp\r\n"),
            "endless headers": lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000),
            "gone": reset,
        }.items():
            self.setUp()
            self.keys.respond = respond
            with self.subTest(name), captured_logs() as logs:
                for _ in range(2):
                    refused = self.send()
                    self.assertRefused(refused, 503, "temporarily_unavailable")
                    self.assertEqual(refused["Retry-After"], "5")
                self.assertEqual(len(self.keys.requests), 1)
                self.assertIn("public keys of api.github.com", logs.getvalue())
                self.assertNotIn("Traceback", logs.getvalue())
        self.keys.publish(self.scanner)
        self.pass_by(61)
        self.assertEqual(self.send().status_code, 200)

    def test_server_of_keys_that_is_slow_away_or_an_impostor_is_given_up_in_time(self):
        for name in ("slow", "silent", "away", "impostor"):
            with self.subTest(name), mock.patch.object(signatures, "FETCH_SECONDS", 0.5):
                self.setUp()
                if name == "slow":
                    self.keys.respond = drip
                elif name == "silent":
                    self.keys.respond = lambda *_: time.sleep(2)
                elif name == "away":
                    self.enterContext(override_settings(EGRESS_PROXY=("127.0.0.1", 1)))
                else:
                    self.enterContext(mock.patch.dict("os.environ", {"SSL_CERT_FILE": "/dev/null"}))
                began = time.monotonic()
                self.assertRefused(self.send(), 503, "temporarily_unavailable")
                self.assertLess(time.monotonic() - began, 2)

    def test_known_keys_outlast_an_outage_of_a_day(self):
        self.assertEqual(self.send().status_code, 200)
        self.keys.respond = lambda connection, _: KeyServer.send(connection, 403, b"limit")
        self.pass_by(23 * 3600)
        self.assertEqual(self.send().status_code, 200)
        self.assertRefused(self.send(identifier="new"), 503, "temporarily_unavailable")
        self.pass_by(3601)
        self.assertRefused(self.send(), 503, "temporarily_unavailable")
        self.assertEqual(len(self.keys.requests), 3)


class FeedbackTests(ReportTestCase):
    def test_each_token_is_judged_by_its_digest_alone_and_named_by_its_hash(self):
        live, holder = self.issue()
        test, tester = self.issue(livemode=False)
        dead, gone = self.issue()
        revoke(dead, actor=Actor.cli())
        unknown = new_plaintext(livemode=True)
        tokens = [
            holder.key,
            f" {tester.key}\n",
            gone.key,
            unknown,
            unknown[:-1] + "!",
            "",
            "x" * 500,
        ]
        tokens += ["\x00", "\ud800", holder.key.upper(), f"{holder.key}x", holder.key]
        answer = self.report(*tokens)
        self.assertEqual(self.labels(answer), [*["true"] * 3, *["false"] * 8, "true"])
        for token, said in zip(tokens, answer.json(), strict=True):
            self.assertEqual(list(said), ["token_hash", "token_type", "label"])
            whole = hashlib.sha256(token.encode("utf-8", "surrogatepass"))
            self.assertEqual(said["token_hash"], whole.hexdigest())
            self.assertEqual(said["token_type"], "some_type")
        for key in (live, test):
            self.assertEqual(self.actions(key), ["issued", "leaked", "revoked"])
        event = AuditEvent.objects.get(target_id=live.pk, action=leak.LEAKED)
        self.assertEqual(
            (str(event.actor), event.changes["found_in"]), ("scanner:github", [None, "commit"])
        )

    def test_report_of_depsdev_is_recorded_as_its_own(self):
        key, holder = self.issue()
        self.assertEqual(self.labels(self.report(holder.key, origin="depsdev")), ["true"])
        key.refresh_from_db()
        self.assertEqual(key.revoked_by, "scanner:depsdev")

    def test_key_under_an_older_pepper_is_found_in_one_query(self):
        tokens = [self.issue()[1].key for _ in range(3)]
        newer = {9: b"n" * 32, **settings.API_KEY_PEPPERS}
        with override_settings(API_KEY_PEPPERS=newer):
            tokens += [self.issue()[1].key for _ in range(3)]
            with mock.patch("notices.leaks.queue.act_on_leak") as act, self.assertNumQueries(1):
                labels = self.labels(self.report(*tokens))
        self.assertEqual((labels, act.call_count), (["true"] * 6, 1))

    def test_captured_report_that_is_sent_again_changes_nothing(self):
        key, holder = self.issue()
        body = json.dumps([{"token": holder.key, "type": "t", "url": "", "source": "x"}]).encode()
        signature = self.scanner.sign(body)
        answers = [self.send(body, signature=signature) for _ in range(3)]
        self.assertEqual({answer.content for answer in answers}, {answers[0].content})
        self.assertEqual(self.actions(key), ["issued", "leaked", "revoked"])

    def test_malformed_bodies_are_refused_and_malformed_records_are_false_positives(self):
        for body in (
            b" ", b"{", b"{}", b'"x"', b"null", b"1", b"\xff", b"[" * 100_000, b"[NaN]",
            b"[1" + b"0" * 5000, b"\xef\xbb\xbf[]", b"[{}", b'[{"token": "a", "token": "b"}]',
            BODY.decode().encode("utf-16"),
        ):  # fmt: skip
            with self.subTest(body[:40]):
                self.assertRefused(self.send(body), 400, "invalid_json")
        too_many = json.dumps([0] * 50_001).encode()
        self.assertRefused(self.send(too_many), 413, "request_too_large")
        _, holder = self.issue()
        records: list[Any] = [
            1, None, "x", [], [[]], {}, {"token": 5}, {"token": None}, {"token": [holder.key]},
            {"token": "x", "type": 7}, {"token": "x", "type": {"a": []}}, {"Token": holder.key},
            {"token": "x", "type": "t" * 5000, "url": 3, "source": []},
            {"token": holder.key, "type": "<b>\x00\ud800é", "url": None, "source": "x" * 9999},
        ]  # fmt: skip
        answer = self.send(json.dumps(records).encode())
        self.assertEqual(self.labels(answer), ["false"] * 13 + ["true"])
        types = [said["token_type"] for said in answer.json()]
        self.assertEqual(types, [""] * 12 + ["t" * 100, "<b>é"])
        self.assertEqual(self.send(b"[]").json(), [])

    def test_report_of_ten_mebibytes_is_read(self):
        _, holder = self.issue()
        records = [{"token": "x" * 1000, "type": "t"}] * 10_000 + [{"token": holder.key}]
        body = json.dumps(records).encode()
        body += b" " * (MOST_REPORT_BYTES - len(body))
        labels = self.labels(self.send(body))
        self.assertEqual((labels.count("false"), labels[-1]), (10_000, "true"))

    def test_fault_is_a_503_and_the_next_sending_does_the_rest(self):
        keys = [self.issue(organization=of) for of in (self.acme, self.globex)]
        real: Callable[..., None] = leak.act_on_leak

        def act(organization_id: str, *args: Any, **more: Any) -> None:
            if organization_id == self.acme.pk:
                raise OperationalError("canceling statement due to lock timeout")
            real(organization_id, *args, **more)

        tokens = [holder.key for _, holder in keys]
        with mock.patch("notices.leaks.queue.act_on_leak", act):
            self.assertRefused(self.report(*tokens), 503, "temporarily_unavailable")
        self.assertEqual(ApiKey.objects.filter(revoked_at=None).get(), keys[0][0])
        self.assertEqual(self.labels(self.report(*tokens)), ["true", "true"])
        self.assertFalse(ApiKey.objects.filter(revoked_at=None).exists())

    def test_second_report_at_the_same_time_is_a_503_at_once(self):
        begun, go_on = threading.Event(), threading.Event()

        def slow(*_: Any) -> list[Any]:
            begun.set()
            go_on.wait(20)
            return []

        with mock.patch.object(receiver, "_work_off", slow):
            answers: list[Answer] = []
            first = threading.Thread(target=lambda: answers.append(self.send()))
            first.start()
            begun.wait(20)
            refused = self.send()
            go_on.set()
            first.join()
        self.assertRefused(refused, 503, "temporarily_unavailable")
        self.assertEqual(refused["Retry-After"], "5")
        self.assertEqual((answers[0].status_code, self.send().status_code), (200, 200))

    def test_stranger_who_sends_a_body_slowly_keeps_out_no_report(self):
        begun, go_on = threading.Event(), threading.Event()

        class Slow(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                begun.set()
                go_on.wait(20)
                return BODY

        answers: list[Answer] = []
        slow: dict[str, Any] = {"CONTENT_LENGTH": str(len(BODY)), "wsgi.input": Slow()}
        stranger = threading.Thread(target=lambda: answers.append(self.send(signature="x", **slow)))
        stranger.start()
        begun.wait(20)
        during = self.send()
        go_on.set()
        stranger.join()
        self.assertEqual((during.status_code, answers[0].status_code), (200, 401))

    def test_reports_are_counted_by_origin_and_result(self):
        def count(result: str) -> float:
            labels = {"origin": "github", "result": result}
            return REGISTRY.get_sample_value("reachscore_leak_reports_total", labels) or 0

        for send, result in (
            (self.send, "ok"),
            (lambda: self.send(signature="x"), "signature_invalid"),
            (lambda: self.send(b"{}"), "invalid_json"),
            (lambda: self.send(headers={}), "resource_not_found"),
        ):
            before = count(result)
            send()
            self.assertEqual(count(result), before + 1, result)

    def test_token_stays_nowhere_not_even_when_a_bug_ends_the_report(self):
        key, holder = self.issue()
        spelled = (text.format(holder.key) for text in ("{}", " {}\n", "a {} b", "{}x"))
        names = ("token", "type", "url", "source")
        bodies = [json.dumps([dict.fromkeys(names, text)]) for text in spelled]
        bodies += [f'[{{"token": "{holder.key}", "token": 1}}]', f'[{{"token": "{holder.key}"']
        bodies += [f'[{{"{holder.key}": 1, "{holder.key}": 1}}]']
        bug, seen = mock.patch.object(receiver, "kill", side_effect=RuntimeError(holder.key)), ""
        for formatter in (JsonFormatter, TextFormatter):
            for is_broken in (True, False):
                with captured_logs(formatter) as logs, bug if is_broken else ExitStack():
                    for body in bodies:
                        for signature in (None, holder.key):
                            answer = self.send(body.encode(), signature=signature)
                            seen += answer.content.decode() + str(answer.headers)
                seen += logs.getvalue()
        self.assertIn("Bug behind request", seen)
        seen += dumped()
        secret = holder.key.split("_")[3]
        for part in (secret, secret[:20], secret[-20:]):
            self.assertNotIn(part, seen)
        key.refresh_from_db()
        self.assertIsNotNone(key.revoked_at)
