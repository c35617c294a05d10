"""Tests in a real browser: every page works under its policy, with no error and nothing foreign."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Window
from tests.support.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What axe finds in Swagger UI 5.33 itself: the bar of an operation is a button that holds buttons,
# boxes of code scroll but cannot be focused, and neither pickers of examples nor the box of a body
# has a label.
OF_SWAGGER_UI = ("nested-interactive", "scrollable-region-focusable", "select-name", "label")
KEYS = "/admin/apikeys/apikey/"
ORGANIZATIONS = "/admin/accounts/organization/"
WHOLE_KEY = re.compile(r"rk_(?:live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}")


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
    """Fill in the form that issues a key, as staff do; return the key shown."""
    staff.visit(f"{KEYS}add/")
    staff.page.get_by_role("combobox").click()
    staff.page.get_by_role("option", name="Your Company").first.click()  # Of other files, too.
    staff.page.get_by_label("Name:").fill(name)
    staff.page.get_by_label("tests:read").check()
    staff.page.get_by_label("Reason").fill("tried in a browser")
    staff.press("Issue key")
    shown = staff.page.locator(".plaintext").inner_text()
    assert WHOLE_KEY.fullmatch(shown)
    return shown


def test_public_pages_show_no_browser_complaint(stranger):
    for path in ("/", "/docs/errors", "/admin/login/"):
        stranger.visit(path)


def forgive_deep_link(window: Window) -> None:
    """Drop Swagger UI's warning of a form of links that it sees in every id with an underscore."""
    window.complaints = [text for text in window.complaints if "escaping deep link" not in text]


def test_api_reference_links_to_operations_and_can_be_read_on_a_phone_and_in_the_dark(stranger):
    stranger.visit("/docs/reference#/API%20keys/create_key")
    page = stranger.page
    page.locator("#operations-API_keys-create_key.is-open .opblock-body").wait_for()
    stranger.check_access(except_rules=OF_SWAGGER_UI)
    stranger.check_layout()
    color = "getComputedStyle(document.querySelector('.swagger-ui')).backgroundColor"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(color) == page.evaluate(color.replace("'.swagger-ui'", "'body'"))
    stranger.picture("reference")
    page.get_by_role("navigation").get_by_role("link", name="Docs").click()
    page.wait_for_url(f"{stranger.url}/docs")
    forgive_deep_link(stranger)


def test_api_reference_executes_an_operation_and_shows_it_as_commands(stranger, server):
    stranger.visit("/docs/reference#/Authentication/get_auth_context")
    page = stranger.page
    page.locator(".is-open .opblock-body").wait_for()
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill(server.key("live"))
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert "First live key" in page.locator(".live-responses-table").inner_text()
    commands = page.locator(".request-snippets")
    assert commands.locator(".curl-command .btn").all_inner_texts() == [
        "cURL (bash)",
        "cURL (PowerShell)",
        "cURL (CMD)",
    ]
    assert f"'{stranger.url}/v1/auth/me'" in commands.inner_text()  # No example as a parameter.
    assert "csrf" not in commands.inner_text().lower()
    assert stranger.context.cookies() == []
    stranger.check_access(except_rules=OF_SWAGGER_UI)
    stranger.check_layout()
    stranger.picture("docs executed")
    for operation in ("API_keys-list_keys", "Events-list_events"):
        block = page.locator(f"#operations-{operation}")
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        assert "Example: " in block.locator(".parameters-container").inner_text()
        block.get_by_role("button", name="Execute").click()
        block.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    forgive_deep_link(stranger)


def test_pasted_key_leads_to_its_page_and_into_no_address(staff):
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


def test_key_in_an_address_is_refused_and_not_repeated(stranger, server):
    key = server.key("test")
    stranger.page.goto(f"{KEYS}?q={key}")
    assert stranger.page.get_by_role("heading", name="holds an API key").is_visible()
    assert key not in stranger.page.content()
    stranger.picture("key in address")
    (refusal,) = stranger.complaints  # The browser's own words for a 400.
    assert "400" in refusal
    stranger.complaints.clear()


def test_copy_button_copies_the_key_by_mouse_and_keyboard(staff):
    staff.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = staff.page
    for press in (lambda button: button.click(), lambda button: button.press("Enter")):
        shown = issue(staff, "Copied")
        page.evaluate("navigator.clipboard.writeText('nothing')")
        press(page.get_by_role("button", name="Copy"))
        page.get_by_role("status").get_by_text("Copied", exact=True).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == shown
    staff.picture("copied")


def test_key_is_selected_if_copying_is_not_permitted(staff):
    staff.context.clear_permissions()
    shown = issue(staff, "Selected")
    page = staff.page
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("status").get_by_text("press Ctrl+C").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == shown


def test_one_time_page_shows_no_key_after_back_or_reload(staff):
    shown = issue(staff, "Once")
    page = staff.page
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    assert shown not in page.content()  # The back-forward cache keeps pages as they were left.
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


def test_staff_can_add_an_organization(staff):
    staff.visit(f"{ORGANIZATIONS}add/")
    staff.page.get_by_label("Name:").fill("Initech")
    staff.page.get_by_label("Plan:").select_option("starter")
    staff.page.get_by_label("Reason").fill("tried in a browser")
    staff.press("Add organization")
    assert "Initech" in staff.page.locator(".messagelist").inner_text()
