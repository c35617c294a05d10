"""The browser and a window of nobody, for every file of this folder."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Window, chromium
from tests.support.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def stranger(browser: "Browser", server: DemoServer) -> Iterator[Window]:
    window = Window(browser, server.url)
    yield window
    window.context.close()
    assert window.complaints == []
