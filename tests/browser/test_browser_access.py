"""Tests in a real browser of the second factor: set up, then log in with it."""

import re
import secrets
from base64 import b32decode
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django_otp.oath import totp

from tests.support.browser import Window
from tests.support.demo_server import DemoServer, manage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

PASSWORD = secrets.token_urlsafe(12)


@pytest.fixture(scope="module")
def strict_server() -> Iterator[DemoServer]:
    """Start a server that asks for a second factor, as production does."""
    with DemoServer(REACHSCORE_TEST_SECOND_FACTOR="true") as demo:
        yield demo


@pytest.fixture
def window(browser: "Browser", strict_server: DemoServer) -> Iterator[Window]:
    opened = Window(browser, strict_server.url)
    yield opened
    opened.context.close()
    assert opened.complaints == []


def newcomer() -> str:
    """Make a member of staff who has never logged in; return the name."""
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


def test_second_factor_is_set_up_at_the_first_log_in_and_asked_at_the_next(
    window, strict_server, browser
):
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
    assert "not the current code" in page.content()
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
    assert "were shown once and cannot be shown again" in page.content()
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


@pytest.fixture
def home(browser: "Browser", strict_server: DemoServer) -> Iterator[Window]:
    """Open a window at the address to which passkeys belong."""
    opened = Window(browser, strict_server.url.replace("127.0.0.1", "localhost"))
    yield opened
    opened.context.close()
    assert opened.complaints == []


def authenticator(window: Window) -> tuple["CDPSession", dict[str, str]]:
    """Give the window's page a platform authenticator; return the handle that removes it."""
    debugger = window.context.new_cdp_session(window.page)
    debugger.send("WebAuthn.enable")
    able = ("hasResidentKey", "hasUserVerification", "isUserVerified")
    kind = {"protocol": "ctap2", "transport": "internal", **dict.fromkeys(able, True)}
    made = debugger.send("WebAuthn.addVirtualAuthenticator", {"options": kind})
    return debugger, {"authenticatorId": made["authenticatorId"]}


def make_passkey(window: Window, name: str) -> None:
    window.page.get_by_label("Name").fill(name)
    window.press("Make the passkey")


def make_first_passkey(window: Window, name: str) -> list[str]:
    """Log in for the first time and make a passkey; return the recovery codes."""
    type_password(window, name)
    window.press("Use a passkey instead")
    make_passkey(window, "Laptop")
    codes: list[str] = window.page.locator("#plaintext").inner_text().split()
    assert len(codes) == 10
    window.press("I have stored them: go on")
    assert window.page.url == f"{window.url}/admin/apikeys/apikey/"
    return codes


def test_passkey_page_at_another_address_links_to_where_the_browser_takes_one(window, home):
    type_password(window, newcomer())
    window.press("Use a passkey instead")
    window.check_access()
    window.check_layout()
    assert window.page.get_by_role("button", name="Make the passkey").count() == 0
    there = window.page.get_by_role("link", name=home.url).get_attribute("href")
    assert there == window.page.url.replace(window.url, home.url)


def test_passkey_is_made_then_used_after_the_password_and_then_alone(home):
    name, page = newcomer(), home.page
    authenticator(home)
    make_first_passkey(home, name)

    home.press("Second factor")
    home.check_access()
    home.check_layout()
    home.press("Add a passkey")
    home.check_access()
    home.check_layout()
    page.get_by_role("button", name="Make the passkey").click()  # The name is missing.
    page.get_by_label("Name").fill("Again")
    page.get_by_role("button", name="Make the passkey").click()
    page.get_by_text("holds a passkey of your account").wait_for()
    home.picture("passkey refused")

    home.press("Log out")
    type_password(home, name)
    home.check_access()
    home.check_layout()
    home.press("Use a passkey")
    assert page.url == f"{home.url}/admin/apikeys/apikey/"
    home.press("Log out")
    home.visit("/admin/login/?next=/admin/apikeys/apikey/")
    home.press("Log in with a passkey")
    assert page.url == f"{home.url}/admin/apikeys/apikey/"


def test_lost_passkey_is_replaced_after_a_recovery_code_and_its_session_ends(home, browser):
    name, laptop = newcomer(), Window(browser, home.url)
    debugger, lost = authenticator(laptop)
    codes = make_first_passkey(laptop, name)
    debugger.send("WebAuthn.removeVirtualAuthenticator", lost)

    authenticator(home)
    home.visit("/admin/login/?next=/admin/")
    home.page.get_by_role("button", name="Log in with a passkey").click()
    home.page.get_by_text("No passkey came").wait_for()
    home.picture("no passkey came")
    type_password(home, name)
    type_code(home, codes[0])
    home.press("Second factor")
    home.press("Add a passkey")
    make_passkey(home, "Phone")
    home.check_access()
    home.check_layout()
    laptops = home.page.locator("form.passkey").first
    laptops.get_by_label("Name").fill("Lost laptop")
    with home.page.expect_navigation():
        laptops.get_by_role("button", name="Rename").click()
    laptops.get_by_role("button", name="Remove").click()
    home.page.get_by_text("Your passkey Lost laptop is removed").wait_for()
    home.picture("passkey removed")
    laptop.visit("/admin/second_factor/")
    assert laptop.page.get_by_label("Username").is_visible()
    laptop.context.close()
    assert laptop.complaints == []

    home.press("Log out")
    home.visit("/admin/login/?next=/admin/")
    home.press("Log in with a passkey")
    assert home.page.url == f"{home.url}/admin/"


def test_half_finished_log_in_can_be_abandoned(window):
    type_password(window, newcomer())
    window.press("Log in as somebody else")
    assert window.page.url.endswith("/admin/login/")
