"""Tests of a burst over all processes: no request that began after a key's end succeeds."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import pytest

from tests.support.production_server import Database, ProductionServer
from tests.support.waiting import until

CLIENTS = 6
SUSPEND = """
from accounts.models import Organization
from audit.actor import Actor
Organization.objects.get(pk="{}").suspend(actor=Actor.cli(), reason="unpaid")
"""


@dataclass(frozen=True)
class Sent:
    """One request of the burst: when it began, and its answer."""

    began: float
    status: int
    code: str


@pytest.fixture(scope="module")
def server() -> Iterator[ProductionServer]:
    """Start a server of two worker processes."""
    with ProductionServer(Database()) as production:
        yield production


@pytest.fixture(scope="module")
def organization(server: ProductionServer) -> str:
    return server.manage("create_organization", "Acme", "--plan", "enterprise")


@pytest.fixture(scope="module")
def manager(server: ProductionServer, organization: str) -> str:
    return server.manage("issue_api_key", organization, "--name", "Manager")


@pytest.fixture
def issued(server: ProductionServer, manager: str) -> dict[str, str]:
    """Issue a key; return the answer to its creation."""
    answer: dict[str, str] = server.ask("/v1/keys", key=manager, body={"name": "burst"}).json()
    return answer


def burst(server: ProductionServer, key: str, end_it: Callable[[], object]) -> set[str]:
    """Send with `key` from several clients, call `end_it` meanwhile, and check that it holds.

    Return the codes of the refusals.
    """
    over = Event()
    sent: list[Sent] = []

    def send() -> None:
        while not over.is_set():
            began = time.monotonic()
            answer = server.ask("/v1/auth/me", key=key)
            code = "" if answer.status == 200 else answer.json()["error"]["code"]
            sent.append(Sent(began, answer.status, code))

    def after(moment: float) -> list[Sent]:
        return [each for each in sent if each.began >= moment]

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(send) for _ in range(CLIENTS)]
        try:
            until(lambda: len(sent) >= 5 * CLIENTS)
            assert {each.status for each in sent[:CLIENTS]} == {200}
            end_it()
            ended = time.monotonic()
            until(lambda: len(after(ended)) >= 5 * CLIENTS)
        finally:
            over.set()
        for client in clients:
            client.result()
    assert not [each for each in after(ended) if each.status == 200]
    return {each.code for each in sent if each.code}


def test_revocation_during_a_burst_holds_from_its_answer_on(server, manager, issued):
    def revoke() -> None:
        answer = server.ask(f"/v1/keys/{issued['id']}", key=manager, method="DELETE")
        assert answer.json()["status"] == "revoked"

    assert burst(server, issued["key"], revoke) == {"api_key_invalid"}


def test_cascade_during_a_burst_holds_from_its_answer_on(server, manager, issued):
    child = server.ask("/v1/keys", key=issued["key"], body={"name": "child"}).json()

    def cascade() -> None:
        path = f"/v1/keys/{issued['id']}?cascade=true"
        answer = server.ask(path, key=manager, method="DELETE")
        assert answer.json()["cascade"]["keys_revoked"] == 1

    assert burst(server, child["key"], cascade) == {"api_key_invalid"}


def test_finished_rotation_during_a_burst_holds_from_its_answer_on(server, manager, issued):
    path = f"/v1/keys/{issued['id']}"
    newest = server.ask(f"{path}/rotate", key=manager, body={}).json()["key"]

    def finish() -> None:
        answer = server.ask(f"{path}/finish_rotation", key=manager, body={})
        assert answer.status == 200

    assert burst(server, issued["key"], finish) == {"api_key_expired"}
    assert server.ask("/v1/auth/me", key=newest).status == 200


def test_suspension_during_a_burst_holds_from_its_commit_on(server, organization, issued):
    def suspend() -> None:
        server.manage("shell", "-c", SUSPEND.format(organization))

    assert burst(server, issued["key"], suspend) == {"organization_suspended"}
