"""In a real browser staff set up their second factor and log in with it: clean, strict, usable."""

import re
import secrets
from base64 import b32decode
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django_otp.oath import totp

from tests.browser import Window, chromium
from tests.demo_server import DemoServer, manage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PASSWORD = secrets.token_urlsafe(12)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def strict_server() -> Iterator[DemoServer]:
    """A server that asks for a second factor, as production does."""
    with DemoServer(REACHSCORE_TEST_SECOND_FACTOR="true") as demo:
        yield demo


@pytest.fixture
def window(browser: "Browser", strict_server: DemoServer) -> Iterator[Window]:
    opened = Window(browser, strict_server.url)
    yield opened
    opened.context.close()
    assert opened.complaints == []


def newcomer() -> str:
    """Make a member of staff who has never logged in, and return the name."""
    name = f"newcomer-{secrets.token_hex(4)}"
    command = ("createsuperuser", "--noinput", "--username", name, "--email", "")
    done = manage(*command, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    return name


def type_password(window: Window, name: str) -> None:
    window.visit("/admin/login/?next=/admin/apikeys/apikey/")
    window.check_access()
    window.page.get_by_label("Username").fill(name)
    window.page.get_by_label("Password").fill(PASSWORD)
    window.press("Log in")


def type_code(window: Window, code: str) -> None:
    window.page.get_by_role("textbox", name="Code").fill(code)
    window.press("Go on")


def test_it_is_set_up_at_the_first_log_in_and_asked_at_the_next(window, strict_server, browser):
    name = newcomer()
    type_password(window, name)
    page = window.page
    assert page.get_by_role("heading", name="Set up your second factor").is_visible()
    window.check_access()
    box = page.get_by_role("img", name="QR code").locator("svg").bounding_box()
    assert box is not None
    assert box["width"] == box["height"] > 150
    secret = b32decode(re.sub(r"\s", "", page.locator("code").inner_text()))

    type_code(window, "000000")
    assert "not the code of now" in page.content()
    type_code(window, f"{totp(secret):06}")
    codes = page.locator("#plaintext").inner_text().split()
    assert len(codes) == 10
    window.check_access()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    page.evaluate("window.print = () => { document.title = 'printed' }")
    page.get_by_role("button", name="Print").click()
    assert page.title() == "printed"
    window.picture("recovery codes")
    page.reload()
    assert "were shown once, and are gone" in page.content()
    window.check_access()
    window.press("Go on")
    assert "10 recovery codes left" in page.content()
    window.visit("/admin/apikeys/apikey/")
    assert page.url.endswith("/admin/apikeys/apikey/")
    window.travel("back")
    assert codes[0] not in page.content()

    window.visit("/admin/second_factor/")
    assert "10 recovery codes left" in page.content()
    window.press("Make new recovery codes")
    window.visit("/admin/second_factor/")

    other = Window(browser, strict_server.url)
    type_password(other, name)
    assert other.page.get_by_role("heading", name="Your code").is_visible()
    type_code(other, f"{totp(secret, drift=1):06}")
    assert other.page.url.endswith("/admin/apikeys/apikey/")
    other.context.close()
    assert other.complaints == []


def test_half_way_one_can_turn_back(window):
    type_password(window, newcomer())
    window.press("Log in as somebody else")
    assert window.page.url.endswith("/admin/login/")
