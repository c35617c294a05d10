"""Tests of the boundary: what a client or the environment can do to a request before a view sees
it.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory, override_settings

from tests.support.cast import ApiClient, ApiTestCase, kept_connection
from tests.support.demo_server import ROOT
from web.environ import MOST_BODY_BYTES, bounded

Make = Callable[[int], Any]


def environ_of(path: str, body: str | bytes = b"", **meta: str) -> dict[str, Any]:
    """Return what a server hands over. `meta` is put in last: the factory would parse it."""
    factory = RequestFactory()
    request = factory.post(path, body, "text/plain") if body else factory.get(path)
    return {**request.environ, **meta}


def header(
    name: str, text: str, *, before: str = "", after: str = "", path: str = "/healthz", **meta: str
) -> Make:
    """Return a request whose header is `text` over and over, of the length that is asked for."""
    return lambda size: environ_of(
        path, **{**meta, name: before + text * (size // len(text)) + after}
    )


def login(text: str, *, before: str, after: str = "", content_type: str) -> Make:
    """Return a log-in with a token against forged requests, which anyone can make up."""
    return lambda size: environ_of(
        LOGIN,
        before + text * (size // len(text)) + after,
        CONTENT_TYPE=content_type,
        HTTP_COOKIE=f"csrftoken={TOKEN}",
    )


def query(text: str, *, path: str = "/v1/auth/me") -> Make:
    return header("QUERY_STRING", text, path=path)


def form(text: str, *, before: str = "username=") -> Make:
    before = f"csrfmiddlewaretoken={TOKEN}&{before}"
    return login(text, before=before, content_type="application/x-www-form-urlencoded")


def parts(text: str, *, before: str = "", after: str = "") -> Make:
    token = 'content-disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n' + TOKEN
    return login(
        text,
        before=f"--b\r\n{token}\r\n--b\r\n{before}",
        after=f"{after}\r\n--b--\r\n",
        content_type="multipart/form-data; boundary=b",
    )


LOGIN = "/admin/login/"
STATIC = "/static/admin/css/base.css"
TOKEN = "t" * 32
MOST = MOST_BODY_BYTES - 1000
FIELD = 'content-disposition: form-data; name="a"\r\n'
HEAD = 30_000  # Fits into the 32 KiB of a request's head.
BEFORE_AUTHENTICATION: dict[str, tuple[int, Make]] = {
    "media type, quoted": (HEAD, header("CONTENT_TYPE", ";", before='a/b;x="')),
    "media type, parameters": (HEAD, header("CONTENT_TYPE", ";x=1", before="a/b")),
    "media type, blanks": (HEAD, header("CONTENT_TYPE", " ; ", before="a/b")),
    "media type, short": (256, header("CONTENT_TYPE", " ; ", before="a/b")),
    "media type, short quotes": (256, header("CONTENT_TYPE", '\\"', before='a/b;x="')),
    "cookie, quoted": (HEAD, header("HTTP_COOKIE", "\\", before='a="', after='"', path=LOGIN)),
    "cookie, escapes": (HEAD, header("HTTP_COOKIE", '\\"', before='a="', path=LOGIN)),
    "cookies": (HEAD, header("HTTP_COOKIE", "a=b;", path=LOGIN)),
    "session": (HEAD, header("HTTP_COOKIE", "a", before="sessionid=", path="/admin/")),
    "message": (HEAD, header("HTTP_COOKIE", "a:", before="messages=", path=LOGIN)),
    "host": (HEAD, header("HTTP_HOST", "a.", path="/")),
    "host, IPv6": (HEAD, header("HTTP_HOST", "a:", before="[", path="/v1/auth/me")),
    "port": (HEAD, header("HTTP_HOST", "9", before="testserver:", path="/v1/auth/me")),
    "accept": (HEAD, header("HTTP_ACCEPT", "a/b;q=1,", path="/v1/openapi.json")),
    "accept, quoted": (HEAD, header("HTTP_ACCEPT", ";", before='a/b;x="', path="/v1/openapi.json")),
    "accept, short": (500, header("HTTP_ACCEPT", ";", before='a/b;x="', path="/v1/openapi.json")),
    "language": (HEAD, header("HTTP_ACCEPT_LANGUAGE", "a-", path=LOGIN)),
    "encoding": (HEAD, header("HTTP_ACCEPT_ENCODING", "gzip,", path=STATIC)),
    "range": (HEAD, header("HTTP_RANGE", "0-1,", before="bytes=", path=STATIC)),
    "modified": (
        HEAD,
        header("HTTP_IF_MODIFIED_SINCE", "Mon, (", path=STATIC),
    ),
    "etags": (HEAD, header("HTTP_IF_NONE_MATCH", '"a",', path=STATIC)),
    "authorization": (HEAD, header("HTTP_AUTHORIZATION", "Bearer ", path="/v1/auth/me")),
    "authorization, a key": (
        HEAD,
        header("HTTP_AUTHORIZATION", "rk_live_", before="Bearer ", path="/v1/auth/me"),
    ),
    "forwarded": (HEAD, header("HTTP_X_FORWARDED_FOR", "192.0.2.7,", path="/v1/auth/me")),
    "forwarded, IPv6": (HEAD, header("HTTP_X_FORWARDED_FOR", "1:", path="/v1/auth/me")),
    "scheme": (HEAD, header("HTTP_X_FORWARDED_PROTO", "https,", path="/v1/auth/me")),
    "user agent": (HEAD, header("HTTP_USER_AGENT", "%25", path="/v1/auth/me")),
    "request id": (HEAD, header("HTTP_REQUEST_ID", "rk_live_", path="/v1/auth/me")),
    "referer": (HEAD, header("HTTP_REFERER", "http://[", path=LOGIN)),
    "parameters": (HEAD, query("a=b&")),
    "equal parameters": (HEAD, query("a&")),
    "parameters, encoded": (HEAD, query("%25")),
    "parameters, most of a key": (HEAD, query("rk%5Flive%5FAAAAAAAA_")),
    "parameters, marks": (HEAD, query("%CC%81%CC%96")),
    "next": (HEAD, query("%CC%81%CC%96", path=LOGIN)),
    "path": (HEAD, lambda size: RequestFactory().get("/v1/" + "rk_live_/" * (size // 9)).environ),
    "form": (MOST, form("a")),
    "form, marks": (120_000, form("%CC%96%CC%81")),
    "form, marks in the password": (120_000, form("%CC%96%CC%81", before="username=a&password=")),
    "form, marks in next": (120_000, form("%CC%96%CC%81", before="next=%2F%2F")),
    "form, fields": (MOST, form("a=b&")),
    "parts": (MOST, parts(FIELD + "\r\n\r\n--b\r\n")),
    "parts, a header": (MOST, parts(";", after="\r\n\r\n")),
    "parts, no end of a line": (MOST, parts("\r")),
    "parts, dashes": (MOST, parts("\r\n--")),
    "parts, base64": (
        MOST,
        parts(" ", before=f"{FIELD}content-transfer-encoding: base64\r\n\r\n"),
    ),
    "parts, a file": (MOST, parts("a", before=FIELD[:-2] + '; filename="a"\r\n\r\n')),
}  # fmt: skip


def text_of(pattern: str, size: int) -> str:
    return pattern * (size // len(pattern.encode()))


# Kinds of JSON that a body of 60 KB may hold, made with `size` bytes.
BODIES: dict[str, Callable[[int], object]] = {
    "name": lambda size: {"name": text_of("a", size)},
    "name, marks": lambda size: {"name": "e" + text_of("\u0316\u0301", size)},
    "name, ligatures": lambda size: {"name": text_of("\ufdfa", size)},
    "name, most of a key": lambda size: {"name": text_of("rk_live_", size)},
    "unknown field": lambda size: {text_of("name", size): 1},
    "unknown field, marks": lambda size: {"e" + text_of("\u0316\u0301", size): 1},
    "unknown fields": lambda size: {f"f{n}": 1 for n in range(size // 12)},
    "scopes": lambda size: {"name": "a", "scopes": [f"tests:{n}" for n in range(size // 14)]},
    "equal scopes": lambda size: {"name": "a", "scopes": ["tests:read"] * (size // 14)},
    "a scope": lambda size: {"name": "a", "scopes": [text_of("tests:", size)]},
    "addresses": lambda size: {"name": "a", "allowed_ips": ["192.0.2.7"] * (size // 13)},
    "an address": lambda size: {"name": "a", "allowed_ips": [text_of("1:", size)]},
    "end": lambda size: {"name": "a", "expires_at": text_of("2030-01-01T", size)},
    "end, digits": lambda size: {"name": "a", "expires_at": text_of("2", size)},
    "digits": lambda size: {"name": [10**4000] * (size // 4000)},
}


def twice_the_last(size: int) -> bytes:
    names = [f'"n{n}":1' for n in range(size // 11)]
    return ("{" + ",".join([*names, names[-1]]) + "}").encode()


def nested(size: int) -> bytes:
    return b'{"a":' + b"[" * size


class LinearTimeTests(ApiTestCase):
    """Processor time is at most linear in what is sent, in a header as in a body."""

    def test_processing_time_grows_at_most_linearly_with_the_input(self):
        _, client = self.issue()

        def body(make: Callable[[int], bytes]) -> tuple[int, Make]:
            return 60_000, lambda size: json_environ(make(size), client)

        def as_json(make: Callable[[int], object]) -> Callable[[int], bytes]:
            return lambda size: json.dumps(make(size), ensure_ascii=False).encode()

        after = {f"body: {name}": body(as_json(make)) for name, make in BODIES.items()}
        authorization = {"HTTP_AUTHORIZATION": f"Bearer {client.key}"}
        for name, text, path in (
            ("QUERY_STRING", "%CC%96%CC%81", "/v1/keys"),
            ("QUERY_STRING", "limit=9&", "/v1/events"),
            ("HTTP_IDEMPOTENCY_KEY", '\\"', "/v1/keys"),
            ("HTTP_REACHSCORE_SIMULATE", "a", "/v1/auth/me"),
            ("HTTP_REACHSCORE_GATEWAY", "for=1 ", "/v1/auth/me"),
        ):
            after[f"{name} of {path}"] = HEAD, header(name, text, path=path, **authorization)
        after["body: a name twice"] = body(twice_the_last)
        after["body: nested"] = body(nested)
        application = bounded(WSGIHandler())
        with override_settings(TRUSTED_PROXY_COUNT=1):
            for name, (size, make) in (BEFORE_AUTHENTICATION | after).items():
                with self.subTest(name):
                    for _ in range(5):  # A busy machine may spoil one measurement, not each.
                        once, four = (processor_time(application, make, size // n) for n in (4, 1))
                        if four <= 6 * once:
                            break
                    self.assertLessEqual(four, 6 * once)


def json_environ(body: bytes, client: ApiClient, media_type: str = "application/json") -> Any:
    """Return a request to create a key."""
    authorization = f"Bearer {client.key}"
    return environ_of("/v1/keys", body, CONTENT_TYPE=media_type, HTTP_AUTHORIZATION=authorization)


def processor_time(application: Any, make: Make, size: int) -> float:
    """Return the seconds that a request of this size takes: the best of a few."""
    best = 60.0
    for _ in range(3):
        environ = make(size)
        began = time.process_time()
        status, _ = answer(application, environ)
        best = min(best, time.process_time() - began)
        assert status not in (413, 500, 503), status
    return best


def answer(application: Any, environ: dict[str, Any]) -> tuple[int, dict[str, str]]:
    started: list[Any] = []
    with kept_connection():
        application(environ, lambda *given: started.extend(given)).close()
    return int(started[0][:3]), dict(started[1])


class MediaTypeTests(ApiTestCase):
    def test_malformed_media_type_is_415_on_the_api_and_ignored_elsewhere(self):
        _, client = self.issue()
        application = bounded(WSGIHandler())
        for media_type, status in (
            ("application/json", 201),
            ("application/json;charset=utf-8;", 201),
            ('Application/JSON ; charset="UTF-8" ; x="a;\\"b"', 201),
            ("application/json; charset=latin-1", 415),
            ("application/json; charset", 415),
            ("application/json; charset*=bogus''utf-8", 415),
            ("application/json" + " " * 300, 415),
            ('application/json; x="' + "a" * 300 + '"', 415),
            ('application/json; x="', 415),
            ("application json", 415),
            ("", 415),
        ):
            with self.subTest(media_type):
                environ = json_environ(b'{"name": "a"}', client, media_type)
                self.assertEqual(answer(application, environ)[0], status)
                environ = environ_of("/healthz", CONTENT_TYPE=media_type)
                self.assertEqual(answer(application, environ)[0], 200)


class Unreadable(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError(size)


class LargeBodyTests(ApiTestCase):
    def test_body_over_one_mebibyte_is_413_on_every_page_and_not_read(self):
        _, client = self.issue()
        paths = ["/", "/docs", "/docs/errors", "/healthz", "/readyz", "/metrics", "/favicon.ico"]
        paths += ["/nope", "/static/reachscore/site.css", "/admin/", "/admin/login/", "/v1/keys"]
        for path in paths:
            for key in ("", client.key):
                with self.subTest(path, key=bool(key)):
                    environ = environ_of(
                        path,
                        REQUEST_METHOD="POST",
                        CONTENT_TYPE="multipart/form-data; boundary=b",
                        CONTENT_LENGTH=str(MOST_BODY_BYTES + 1),
                        HTTP_AUTHORIZATION=f"Bearer {key}",
                        SERVER_SOFTWARE="Granian",
                    )
                    environ["wsgi.input"] = Unreadable()
                    status, headers = answer(bounded(WSGIHandler()), environ)
                    self.assertEqual(status, 401 if path == "/v1/keys" and not key else 413)
                    self.assertEqual(headers["Connection"], "close")
                    self.assertIn("Request-Id", headers)


# Run in a process whose environment looks like headers of a request.
PRINT_REQUESTS = """
import io, json, os
from wsgiref.handlers import SimpleHandler
from granian.wsgi import _callback_wrapper
from reachscore import wsgi
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

seen = []
class Seen(WSGIRequest):
    def __init__(self, environ):
        seen.append(environ)
        super().__init__(environ)
WSGIHandler.request_class = Seen

CGI = {"PATH_INFO": "/admin/", "REQUEST_METHOD": "GET", "QUERY_STRING": "",
       "SERVER_NAME": "s", "SERVER_PORT": "1", "SERVER_PROTOCOL": "HTTP/1.1",
       "REMOTE_ADDR": "192.0.2.9", "HTTP_HOST": "localhost",
       "HTTP_COOKIE": "sessionid=12345678901234567890123456789012"}
body = io.BytesIO()
class Proto:
    def response_bytes(self, *given): body.write(given[2])
    def response_iter(self, status, headers, content):
        body.write(str(status).encode())
        while chunk := next(content, None): body.write(chunk)
granian = {**CGI, "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}
_callback_wrapper(wsgi.application, {})(Proto(), granian)
SimpleHandler(io.BytesIO(), io.BytesIO(), io.StringIO(), CGI).run(wsgi.application)
metas = [{name: str(value) for name, value in environ.items()} for environ in seen]
large, too_large = {**CGI, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "2000000"}, io.BytesIO()
SimpleHandler(io.BytesIO(), too_large, io.StringIO(), large).run(wsgi.application)
print(json.dumps([metas, body.getvalue().decode(), too_large.getvalue().decode()]))
"""


class EnvironmentTests(ApiTestCase):
    def test_environment_variables_are_in_no_request_and_no_debug_page(self):
        environment = {
            **dict.fromkeys(("SECRET_KEY", "UNKNOWN_TO_DJANGO"), settings.SECRET_KEY),
            "PATH": "/environment/bin",
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "reachscore.settings",
            "DEBUG": "true",
            "DATABASE_URL": "postgres://app:environment-password@127.0.0.1:1/none",
            "HTTP_AUTHORIZATION": "Bearer environment",
            "HTTP_X_FORWARDED_PROTO": "https",
            "HTTP_X_FORWARDED_FOR": "192.0.2.66",
            "CONTENT_TYPE": "environment/x",
            "CONTENT_LENGTH": "66",
            "REMOTE_USER": "environment",
            "HTTPS": "on",
            "wsgi.file_wrapper": "environment",
        }
        done = subprocess.run(
            [sys.executable, "-c", PRINT_REQUESTS],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        metas, page, too_large = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(len(metas), 2)
        for meta in metas:
            self.assertEqual(set(environment) & set(meta) - {"wsgi.file_wrapper"}, set())
            self.assertNotIn("environment", str(meta))
        self.assertTrue(page.startswith("500"), page[:500])
        self.assertIn("OperationalError", page)
        self.assertNotIn("environment-password", page)
        self.assertRegex(too_large, "^HTTP/1.[01] 413 ")  # In runserver, too.
