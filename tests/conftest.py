"""Fixtures that more than one file of tests wants."""

from collections.abc import Iterator

import pytest

from tests.demo_server import DemoServer


@pytest.fixture(scope="session")
def server() -> Iterator[DemoServer]:
    """A first run of the service: its output holds two keys and the admin's password."""
    with DemoServer() as demo:
        yield demo
