"""Fixtures shared by several files of tests, and the marks of their folders."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.http.response import ResponseHeaders
from django.test.client import ClientHandler, conditional_content_removal

from apikeys.authentication.door import Door, question_of
from reachscore.devdb.cluster import Cluster
from tests.support.demo_server import DemoServer
from web.environ import cleaned

TESTS = Path(__file__).resolve().parent
MARKS = {
    "audit": pytest.mark.slow,  # A production-like role, and processes of commands.
    "authority": pytest.mark.slow,  # Races, and tables of every key times every verb.
    "browser": pytest.mark.browser,
    "devdb": pytest.mark.server,
    "server": pytest.mark.server,
}

# What deploy/roles.sql grants to the role that serves, on tables that are there already.
RUNTIME_ROLE = """
    CREATE ROLE reachscore_app;
    GRANT USAGE ON SCHEMA public TO reachscore_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reachscore_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO reachscore_app;
"""


call_django = ClientHandler.__call__


def call_service(self: ClientHandler, environ: dict[str, Any]) -> Any:
    """Let requests of Django's test client pass what stands in front of Django."""
    environ = cleaned({"HTTP_HOST": "testserver", **environ})
    if question_of(environ) is None:
        return call_django(self, environ)
    response: Any = HttpResponse()

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        response.status_code, response.headers = int(status[:3]), ResponseHeaders(dict(headers))

    response.content = b"".join(Door(WSGIHandler())(environ, start_response))
    response.wsgi_request = WSGIRequest(environ)
    return conditional_content_removal(response.wsgi_request, response)


ClientHandler.__call__ = call_service  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    """Remove the clusters left by killed runs; render the pages of /docs."""
    if not hasattr(config, "workerinput"):
        for home in Path(gettempdir()).glob("reachscore-[tf]*-*"):  # t: tests, f: faults.
            with suppress(OSError):  # It belongs to another user.
                Cluster(home, throwaway=True).end(remove=True)
        call_command("render_docs")  # For this process, and for servers that tests start.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder; `make test-fast` leaves the marked ones out."""
    for item in items:
        mark = MARKS.get(item.path.relative_to(TESTS).parts[0])
        if mark is not None:
            item.add_marker(mark)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Use the database as the production role, not as its owner."""
    options = connection.settings_dict["OPTIONS"]
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(RUNTIME_ROLE)
        connection.close()
        usual = options["options"]
        options["options"] = f"{usual} -c role=reachscore_app"
    yield
    with django_db_blocker.unblock():
        connection.close()
        options["options"] = usual


@pytest.fixture(scope="session")
def server() -> Iterator[DemoServer]:
    """Start a first run of the service; its output holds two keys and the admin's password.

    All files that a worker runs share it, in any order: look for your own rows, not for the only or
    the first ones.
    """
    with DemoServer() as demo:
        yield demo
