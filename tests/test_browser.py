"""In a real browser every page works under its policy: no error or warning, nothing foreign."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import Window, chromium
from tests.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEYS = "/admin/apikeys/apikey/"
ORGANIZATIONS = "/admin/accounts/organization/"
WHOLE_KEY = re.compile(r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}")


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


@pytest.fixture(scope="module")
def logged_in(browser: "Browser", server: DemoServer) -> Iterator[Window]:
    window = Window(browser, server.url)
    window.log_in("admin", server.password)
    yield window
    window.context.close()


@pytest.fixture
def staff(logged_in: Window) -> Iterator[Window]:
    yield logged_in
    assert logged_in.complaints == []


def issue(staff: Window, name: str) -> str:
    """Fill in the form that issues a key, as a person would; return the key that is shown."""
    staff.visit(f"{KEYS}add/")
    staff.page.get_by_role("combobox").click()
    staff.page.get_by_role("option", name="Your Company").click()
    staff.page.get_by_label("Name:").fill(name)
    staff.page.get_by_label("tests:read").check()
    staff.press("Issue key")
    shown = staff.page.locator(".plaintext").inner_text()
    assert WHOLE_KEY.fullmatch(shown)
    return shown


def test_the_public_pages_are_clean(stranger):
    for path in ("/", "/docs/errors", "/admin/login/"):
        stranger.visit(path)


def test_the_api_reference_executes_an_operation(stranger, server):
    stranger.visit("/docs")
    page = stranger.page
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(server.key("live"))
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close").click()
    page.locator("#operations-Auth-context-get").or_(
        page.locator(".opblock-get").first
    ).first.get_by_role("button").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert "First live key" in page.locator(".live-responses-table").inner_text()
    stranger.picture("docs executed")


def test_the_lists_and_forms_of_the_admin_are_clean(staff):
    for path in (
        "/admin/",
        KEYS,
        f"{KEYS}?livemode__exact=1&q=first",
        ORGANIZATIONS,
        f"{ORGANIZATIONS}add/",
        "/admin/accounts/auditevent/",
        "/admin/accounts/plan/",
        "/admin/accounts/plan/team/change/",
        "/admin/accounts/user/",
        "/admin/accounts/user/add/",
        "/admin/accounts/user/1/change/",
        "/admin/password_change/",
    ):
        staff.visit(path)
    staff.visit("/admin/accounts/auditevent/")
    staff.page.locator("#result_list tbody a").first.click()
    staff.page.wait_for_url("**/change/**")
    staff.picture("audit event")


def test_a_key_is_issued_looked_at_and_revoked(staff):
    issue(staff, "Browser")
    staff.press("I have stored it: go to the key")
    key_page = staff.page.url
    staff.press("History")
    staff.visit(key_page)
    staff.press("Revoke key")
    staff.page.get_by_label("Reason").fill("tried in a browser")
    staff.press("Revoke")
    assert "is revoked" in staff.page.locator(".messagelist").inner_text()


def test_an_organization_is_made_suspended_and_resumed(staff):
    staff.visit(f"{ORGANIZATIONS}add/")
    staff.page.get_by_label("Name:").fill("Initech")
    staff.page.get_by_label("Plan:").select_option("starter")
    staff.press("Save")
    staff.press("Initech")
    for verb in ("Suspend", "Resume"):
        staff.press(verb)
        staff.page.get_by_label("Reason").fill("tried in a browser")
        staff.press(verb)
        assert f"{verb.lower()}" in staff.page.locator(".messagelist").inner_text()
