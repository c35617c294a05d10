"""Tests of the error envelope: every 4xx and 5xx under /v1 has the one shape."""

import logging
from unittest import mock

from django.test import Client, override_settings

from apikeys.authentication.caller import Caller
from audit.models import AuditEvent
from tests.support.cast import ApiClient, ApiTestCase


class PathAndMethodTests(ApiTestCase):
    def test_unknown_path_is_404_by_any_method_with_or_without_a_key(self):
        _, client = self.issue()
        anonymous = Client(enforce_csrf_checks=True)
        for path in [
            "/v1",
            "/v1/",
            "/v1/keys/",
            "/v1/nope",
            "/v1/auth/me/",
            "/v1//keys",
            "/v1/%00",
            "/v1/a%0Ab",
            "/v1/keys%0A",
        ]:
            for method in ("get", "post", "put", "patch", "delete", "options"):
                for caller in (client, anonymous):
                    with self.subTest(f"{method} {path}"):
                        response = getattr(caller, method)(path)
                        self.assertRefused(response, 404, "resource_not_found")

    def test_path_that_only_begins_with_v1_gets_the_html_404(self):
        self.assertContains(self.client.get("/v1x"), "There is no such page", status_code=404)

    def test_wrong_method_is_405_and_allow_lists_the_right_ones(self):
        _, client = self.issue()
        for path, allowed, wrong in [
            ("/v1/keys", "GET, HEAD, POST", ("put", "patch", "delete", "options", "trace")),
            ("/v1/keys/key_x/rotate", "POST", ("get", "put", "patch", "delete", "head", "options")),
            ("/v1/keys/key_x", "GET, HEAD, PATCH, DELETE", ("post", "put", "options", "trace")),
            ("/v1/auth/me", "GET, HEAD", ("post", "put", "patch", "delete", "options", "trace")),
            ("/v1/openapi.json", "GET, HEAD", ("post", "put", "delete", "options")),
        ]:
            for method in wrong:
                for caller in (client, self.client):
                    with self.subTest(f"{method} {path}"):
                        response = getattr(caller, method)(path)
                        self.assertEqual(response["Allow"], allowed)
                        if method != "head":
                            self.assertRefused(response, 405, "method_not_allowed")

    def test_malformed_allowed_hosts_entry_does_not_allow_itself(self):
        odd = ["testserver", "", "*x", "other.example:5"]
        with override_settings(ALLOWED_HOSTS=odd):
            for host in odd[1:]:
                with self.subTest(host):
                    response = self.client.get("/v1/auth/me", headers={"Host": host})
                    self.assertRefused(response, 400, "host_not_allowed")

    def test_wrong_host_is_refused_and_not_repeated(self):
        for debug in (False, True):
            with self.subTest(debug=debug), override_settings(DEBUG=debug):
                response = self.client.get("/v1/auth/me", headers={"Host": "evil.example"})
                self.assertRefused(response, 400, "host_not_allowed")
                self.assertNotIn("evil", response.content.decode())

    def test_accept_without_json_is_406(self):
        _, client = self.issue()
        for accept in (
            "application/xml",
            "application/json;q*=bogus''%41",
            "a;x*=idna''%ff",
            "nonsense",
        ):
            with self.subTest(accept):
                response = client.get("/v1/auth/me", headers={"Accept": accept})
                self.assertRefused(response, 406, "not_acceptable")

    def test_accept_missing_or_wildcard_answers_json(self):
        _, client = self.issue()
        for accept in (
            "",
            " ",
            ",",
            ", */*",
            "*/*",
            " */*",
            "*/*;q=0.8",
            "application/*",
            "text/html, */*",
        ):
            for path in ("/v1/auth/me", "/v1/keys", "/v1/openapi.json"):
                with self.subTest(accept=accept, path=path):
                    response = client.get(path, headers={"Accept": accept})
                    self.assertEqual(response.status_code, 200)


class BodyTests(ApiTestCase):
    def setUp(self) -> None:
        self.api = self.issue()[1]

    def send(self, body: bytes, content_type: str = "application/json"):
        return self.api.post("/v1/keys", body, content_type=content_type)

    def test_body_that_is_not_one_json_object_is_invalid_json(self):
        for body in [
            b"{",
            b"[]",
            b'[{"name": "x"}]',
            b'"name"',
            b"null",
            b"5",
            b"name=x",
            b"\xff\xfe",
            b'{"name": "\xff"}',
            b'{"name": "x"',
            b'{"name": "x",}',
            b"{'name': 'x'}",
            b'{"name": "x"} {"name": "y"}',
            b'{"name": NaN}',
            b'{"name": -Infinity}',
            b'{"name": ' + b"9" * 5000 + b"}",
            b"[" * 20_000,
            b'{"a":' * 10_000,
            b'{"name": "x", "name": "y"}',
            b'{"name": "x", "scopes": [{"a": 1, "a": 2}]}',
            b'\xef\xbb\xbf{"name": "x"}',
            '{"name": "x"}'.encode("utf-16"),
        ]:
            with self.subTest(body[:60]):
                response = self.send(body)
                self.assertRefused(response, 400, "invalid_json")
                self.assertNothingWritten(response)

    def test_body_not_declared_as_json_is_415(self):
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "application/jsonx",
            "nonsense",
            "",
            "application/json; charset=utf-16",
            "*/*",
            "application/*",
        ]:
            with self.subTest(content_type):
                response = self.send(b'{"name": "x"}', content_type)
                self.assertRefused(response, 415, "unsupported_media_type")
                self.assertNothingWritten(response)

    def test_json_media_type_is_accepted_in_any_case_and_with_parameters(self):
        for content_type in ("application/json; charset=UTF-8", "Application/JSON"):
            self.assertEqual(self.send(b'{"name": "x"}', content_type).status_code, 201)

    def test_body_with_a_content_coding_is_415(self):
        for coding, status in (
            ("gzip", 415),
            ("GZIP", 415),
            ("identity, gzip", 415),
            ("br", 415),
            ("nonsense", 415),
            ("identity", 201),
            ("Identity", 201),
            ("", 201),
        ):
            with self.subTest(coding):
                body = {"name": "x"}
                response = self.api.send("/v1/keys", body, **{"Content-Encoding": coding})
                self.assertEqual(response.status_code, status)
                if status == 415:
                    self.assertRefused(response, 415, "unsupported_media_type")
                    self.assertEqual(response["Accept-Encoding"], "identity")
                    self.assertIn("uncompressed", response.json()["error"]["fix"])

    def test_body_of_64_kib_is_read_and_one_byte_more_is_413(self):
        def body(size: int) -> bytes:
            return b'{"name": "x"' + b" " * (size - 13) + b"}"

        self.assertEqual(self.send(body(64 * 1024)).status_code, 201)
        self.assertRefused(self.send(body(64 * 1024 + 1)), 413, "request_too_large")
        self.assertRefused(self.send(body(5_000_000)), 413, "request_too_large")
        response = self.api.generic("POST", "/v1/keys", b"{}", CONTENT_LENGTH="9" * 5000)
        self.assertRefused(response, 413, "request_too_large")

    def test_body_of_unknown_length_is_411(self):
        for length in ("", "-1", "many", "²"):
            with self.subTest(length):
                response = self.api.generic(
                    "POST",
                    "/v1/keys",
                    b'{"name": "x"}',
                    content_type="application/json",
                    CONTENT_LENGTH=length,
                )
                self.assertRefused(response, 411, "length_required")

    def test_empty_body_is_missing_required_field(self):
        response = self.api.generic(
            "POST", "/v1/keys", b"", content_type="application/json", CONTENT_LENGTH="0"
        )
        self.assertRefused(response, 400, "missing_required_field", field="name")

    def test_authentication_comes_before_reading_the_body(self):
        response = self.client.post("/v1/keys", b"x" * 100_000, content_type="text/plain")
        self.assertRefused(response, 401, "api_key_missing")


class UnreadBodyTests(ApiTestCase):
    """Endpoints that read no body refuse one that says something."""

    def setUp(self) -> None:
        self.api_key, self.api = self.issue()
        self.url = f"/v1/keys/{self.make(self.api)[0].id}"

    def test_body_on_an_endpoint_that_reads_none_is_refused_and_nothing_is_done(self):
        json = "application/json"
        form = "application/x-www-form-urlencoded"
        for body, content_type in (
            (b'{"cascade": true, "reason": "leaked"}', json),
            (b"cascade=true&reason=leaked", form),
            (
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
                "multipart/form-data; boundary=x",
            ),
            (b"[]", json),
            (b"{} {}", json),
            (b"null", json),
            (b"0", ""),
            (b"\xff", ""),
            (b" " * 1001, json),
            (b"x" * 3_000_000, ""),
        ):
            for method, url in (
                ("DELETE", self.url),
                ("GET", self.url),
                ("GET", "/v1/keys"),
                ("HEAD", "/v1/keys"),
                ("GET", "/v1/auth/me"),
                ("GET", "/v1/auth/me?require=tests:read"),
                ("GET", "/v1/usage"),
                ("GET", "/v1/openapi.json"),
            ):
                with self.subTest(body=body[:40], method=method, url=url):
                    response = self.api.generic(method, url, body, content_type=content_type)
                    self.assertEqual(response.status_code, 400)
                    if method != "HEAD":
                        self.assertRefused(response, 400, "parameter_unknown")
        self.assertEqual(self.api.get(self.url).json()["status"], "active")

    def test_fix_of_an_unread_body_names_the_query_parameters(self):
        for method, url, fix in (
            ("DELETE", self.url, "Send no body; parameters go into the query: reason, cascade."),
            ("GET", "/v1/usage", "Send no body."),
        ):
            response = self.api.generic(method, url, b"{1}", content_type="application/json")
            error = self.assertRefused(response, 400, "parameter_unknown")
            self.assertEqual(error["fix"], fix)

    def test_unread_body_without_a_key_is_api_key_missing(self):
        response = self.client.generic("DELETE", self.url, b'{"cascade": true}')
        self.assertRefused(response, 401, "api_key_missing")

    def test_empty_object_as_unread_body_passes(self):
        for body in (b"", b"{}", b" {\r\n}\t", b"  \n"):
            for content_type in ("application/json", ""):
                with self.subTest(body):
                    for url in (self.url, "/v1/auth/me"):
                        response = self.api.generic("GET", url, body, content_type=content_type)
                        self.assertEqual(response.status_code, 200)
        response = self.api.generic("DELETE", f"{self.url}?reason=gone", b"{}")
        self.assertEqual(response.json()["revoked_reason"], "gone")


class BugTests(ApiTestCase):
    def test_bug_answers_a_bare_500_and_is_logged_under_the_request_id(self):
        _, client = self.issue()
        client.raise_request_exception = False
        for debug in (False, True):
            with (
                self.subTest(debug=debug),
                override_settings(DEBUG=debug),
                mock.patch.object(
                    Caller,
                    "auth_context",
                    side_effect=RuntimeError("the cause"),
                ),
                self.assertLogs("reachscore.api", logging.ERROR) as logs,
            ):
                response = client.get("/v1/auth/me", headers={"Request-Id": "find-me-again"})
            self.assertRefused(response, 500, "internal_error")
            self.assertNotIn("the cause", response.content.decode())
            self.assertIn("find-me-again", logs.output[0])
            self.assertIn("the cause", logs.output[0])

    def test_bug_outside_a_view_answers_the_error_envelope(self):
        client = Client(raise_request_exception=False)
        with (
            mock.patch("web.exception_handlers.unknown_path", side_effect=RuntimeError),
            mock.patch(
                "django.core.handlers.base.BaseHandler.resolve_request",
                side_effect=RuntimeError("the cause"),
            ),
            self.assertLogs("django.request", logging.ERROR),
        ):
            response = client.get("/v1/keys")
        self.assertRefused(response, 500, "internal_error")


class RequestIdTests(ApiTestCase):
    def test_every_response_carries_a_request_id(self):
        for path in ("/", "/docs", "/docs/errors", "/healthz", "/nope", "/admin/", "/v1/nope"):
            with self.subTest(path):
                response = self.client.get(path)
                self.assertRegex(response["Request-Id"], r"^req_[0-9A-Za-z]{12}$")

    def test_safe_request_id_of_the_client_is_kept(self):
        for sent in ("12345678", "a-b_c-D9", "x" * 64):
            response = self.client.get("/healthz", headers={"Request-Id": sent})
            self.assertEqual(response["Request-Id"], sent)

    def test_unsafe_request_id_of_the_client_is_replaced(self):
        key = self.issue()[1].key
        for sent in (
            "",
            "short12",
            "x" * 65,
            "has space",
            "a\nb: cdefgh",
            "ümläuts12",
            key,
            key[:40],
        ):
            with self.subTest(sent):
                response = self.client.get("/healthz", headers={"Request-Id": sent})
                self.assertRegex(response["Request-Id"], r"^req_[0-9A-Za-z]{12}$")

    def test_audit_event_carries_the_request_id(self):
        _, client = self.issue()
        answer = client.post(
            "/v1/keys",
            {"name": "x"},
            content_type="application/json",
            headers={"Request-Id": "order-66-66"},
        ).json()
        self.assertEqual(AuditEvent.objects.get(target_id=answer["id"]).request_id, "order-66-66")


class KeyInUrlTests(ApiTestCase):
    def test_key_in_the_url_is_refused_before_anything_else(self):
        _, client = self.issue()
        key = client.key
        for path, field in [
            ("/v1/auth/me?api_key=x", "api_key"),
            ("/v1/auth/me?key=", "key"),
            ("/v1/auth/me?token=5", "token"),
            (f"/v1/auth/me?access_token={key}", "access_token"),
            ("/v1/auth/me?API_KEY=x", "api_key"),
            (f"/v1/auth/me?q={key}", None),
            (f"/v1/auth/me?q=Bearer%20{key}&x=1", None),
            (f"/v1/auth/me?{key}=1", None),
            (f"/v1/auth/me?{key}", None),
            (f"/v1/nope?q={key.replace('_', '%5F')}", None),
            (f"/v1/keys/{key}", None),
        ]:
            for caller in (client, Client()):
                with self.subTest(path), self.assertNumQueries(0):
                    response = caller.get(path)
                    error = self.assertRefused(response, 400, "api_key_in_url", field=field)
                    self.assertIn("revoke it", error["fix"])
                    self.assertNotIn(key[-20:], response.content.decode())

    def test_query_with_too_many_parameters_is_refused(self):
        response = ApiClient("x").get("/v1/auth/me?" + "&".join(f"a{i}=1" for i in range(2000)))
        self.assertRefused(response, 400, "request_invalid")
