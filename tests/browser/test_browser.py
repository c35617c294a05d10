"""In a real browser every page works under its policy: no error or warning, nothing foreign."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Window, chromium
from tests.support.demo_server import DemoServer

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
        "/admin/audit/auditevent/",
        "/admin/accounts/plan/",
        "/admin/accounts/plan/team/change/",
        "/admin/staff/user/",
        "/admin/staff/user/add/",
        "/admin/staff/user/1/change/",
        "/admin/password_change/",
    ):
        staff.visit(path)
    staff.visit("/admin/audit/auditevent/")
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
    staff.page.get_by_label("Leaked").check()
    staff.press("Revoke key")
    assert "is revoked" in staff.page.locator(".messagelist").inner_text()


def test_a_pasted_key_leads_to_its_page_and_into_no_address(staff):
    pasted = issue(staff, "Pasted")
    staff.visit(f"{KEYS}?livemode__exact=1")
    for text in (pasted, f"Authorization: Bearer {pasted}"):
        staff.page.get_by_role("textbox", name="Search").fill(text)
        staff.press("Search")
        assert staff.page.get_by_role("heading", name="Pasted (key_").first.is_visible()
        staff.page.go_back()
        assert pasted not in staff.page.content()
    staff.page.get_by_role("textbox", name="Search").fill("pasted")
    staff.press("Search")
    assert staff.page.url == f"{staff.url}{KEYS}?livemode__exact=1&q=pasted"


def test_a_key_typed_into_the_address_is_refused_without_repeating_it(stranger, server):
    key = server.key("test")
    stranger.page.goto(f"{KEYS}?q={key}")
    assert stranger.page.get_by_role("heading", name="holds an API key").is_visible()
    assert key not in stranger.page.content()
    stranger.picture("key in address")
    (refusal,) = stranger.complaints  # The browser's own words for a 400.
    assert "400" in refusal
    stranger.complaints.clear()


def test_the_button_copies_the_key_by_keyboard_too(staff):
    staff.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = staff.page
    for press in (lambda button: button.click(), lambda button: button.press("Enter")):
        shown = issue(staff, "Copied")
        page.evaluate("navigator.clipboard.writeText('nothing')")
        press(page.get_by_role("button", name="Copy"))
        page.get_by_role("status").get_by_text("Copied", exact=True).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == shown
    staff.picture("copied")


def test_without_the_right_to_copy_the_key_is_selected(staff):
    staff.context.clear_permissions()
    shown = issue(staff, "Selected")
    page = staff.page
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("status").get_by_text("press Ctrl+C").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == shown


def test_the_one_time_page_survives_neither_back_nor_reload(staff):
    shown = issue(staff, "Once")
    page = staff.page
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    assert shown not in page.content()  # Some browsers keep the page as it was left.
    page.reload()
    assert "already issued a key" in page.content()
    assert shown not in page.content()

    shown = issue(staff, "Once more")
    staff.press("I have stored it: go to the key")
    staff.travel("back")
    assert shown not in page.content()
    staff.picture("back to the one-time page")
    staff.travel("forward")
    assert shown not in page.content()


def test_an_organization_is_made_suspended_and_resumed(staff):
    staff.visit(f"{ORGANIZATIONS}add/")
    staff.page.get_by_label("Name:").fill("Initech")
    staff.page.get_by_label("Plan:").select_option("starter")
    staff.press("Add organization")
    for verb in ("Suspend", "Resume"):
        staff.press(verb)
        staff.page.get_by_label("Reason").fill("tried in a browser")
        staff.press(verb)
        assert f"{verb.lower()}" in staff.page.locator(".messagelist").inner_text()
