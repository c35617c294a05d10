"""Tests of the WSGI handler, which Django's test client does not use."""

from collections.abc import Callable
from typing import Any
from unittest import mock
from wsgiref.util import setup_testing_defaults

from django.test import SimpleTestCase
from django.urls import URLResolver

from web.request import SteadyHandler


def ask(handler: SteadyHandler, path: str) -> str:
    """Return the status of a GET."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    statuses: list[Any] = []

    def start_response(status: str, *_: object) -> Callable[[bytes], object]:
        statuses.append(status)
        return statuses.append

    handler(environ, start_response).close()
    return str(statuses[0])


class LiteralPathTests(SimpleTestCase):
    def test_literal_path_is_resolved_once_and_any_other_each_time(self):
        handler = SteadyHandler()
        for path, status, is_literal in (
            ("/healthz", "200 OK", True),
            ("/v1/auth/me", "401 Unauthorized", True),
            ("/v1/keys/key_000000000000", "401 Unauthorized", False),
            ("/v1/nope", "404 Not Found", False),
            ("/nope", "404 Not Found", False),
        ):
            resolve = URLResolver.resolve
            with (
                self.subTest(path),
                mock.patch.object(URLResolver, "resolve", autospec=True) as counted,
            ):
                counted.side_effect = resolve
                self.assertEqual({ask(handler, path) for _ in range(3)}, {status})
                of_root = [call for call in counted.call_args_list if call.args[1] == path]
                self.assertEqual(len(of_root) == 1, is_literal)
