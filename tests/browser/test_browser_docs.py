"""Tests in a real browser of the portal at /docs: tabs, copying, search, print, accessibility."""

from typing import TYPE_CHECKING

from tests.support.browser import Window
from web.output.portal import portal

if TYPE_CHECKING:
    from playwright.sync_api import Locator

QUICKSTART = "/docs/guides/quickstart"
KEYS = "/docs/guides/keys"


def shown(window: Window) -> set[str]:
    """Return the languages of the samples that are shown, one set for all groups of the page."""
    samples = window.page.locator(".samples > .sample").all()
    return {str(one.get_attribute("data-language")) for one in samples if one.is_visible()}


def tab(window: Window, name: str, group: int = 0) -> "Locator":
    return window.page.locator(".samples").nth(group).get_by_role("tab", name=name)


def test_pages_of_the_portal_are_accessible_and_fit_a_phone(stranger):
    for path in ("/docs", QUICKSTART, "/docs/errors", "/docs/search?q=key", "/scanner-rules/"):
        stranger.visit(path)
        stranger.check_access()
        stranger.check_layout()
    for page in portal():
        stranger.visit(page.url)
        stranger.check_layout()


def test_chosen_language_is_shown_in_every_group_and_remembered(stranger):
    stranger.visit(QUICKSTART)
    assert shown(stranger) == {"bash"}
    later = tab(stranger, "Python", group=2)
    later.scroll_into_view_if_needed()
    where = "tab => tab.getBoundingClientRect().top"
    before = later.evaluate(where)
    later.click()
    assert shown(stranger) == {"python"}
    assert abs(later.evaluate(where) - before) < 2  # Groups above it have other heights now.

    stranger.page.reload()
    assert shown(stranger) == {"python"}
    stranger.visit(KEYS)
    assert shown(stranger) == {"python"}


def test_tabs_are_worked_by_the_keyboard(stranger):
    stranger.visit(QUICKSTART)
    tab(stranger, "curl").focus()
    for key, name in (
        ("ArrowRight", "Python"),
        ("End", "JavaScript"),
        ("ArrowRight", "curl"),
        ("ArrowLeft", "JavaScript"),
        ("Home", "curl"),
    ):
        stranger.page.keyboard.press(key)
        chosen = tab(stranger, name)
        assert chosen.evaluate("tab => tab === document.activeElement"), key
        assert chosen.get_attribute("aria-selected") == "true"
        panel = stranger.page.locator(f"#{chosen.get_attribute('aria-controls')}")
        assert panel.is_visible()
    stranger.page.keyboard.press("Tab")  # One stop for all tabs: the next is the button.
    assert stranger.page.evaluate("document.activeElement.textContent") == "Copy"


def test_copied_command_names_the_readers_host(stranger):
    stranger.context.grant_permissions(["clipboard-read", "clipboard-write"])
    stranger.visit(QUICKSTART)
    sample = stranger.page.locator(".sample[data-language=bash]").first
    sample.get_by_role("button", name="Copy").click()
    sample.get_by_text("Copied").wait_for()
    copied = stranger.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"curl {stranger.url}/v1/keys")
    assert copied == sample.locator("code").text_content()


def test_page_works_without_scripts_and_storage(browser, server):
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(QUICKSTART)
    for name in ("curl", "Python", "JavaScript"):
        assert page.locator(".label", has_text=name).first.is_visible()
    assert page.get_by_role("button", name="Copy").count() == 0
    page.get_by_label("Search the docs").fill("rate_limit")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="rate_limit_exceeded").click()
    page.wait_for_url("**/docs/errors#rate_limit_exceeded")
    context.close()

    window = Window(browser, server.url)
    window.context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked') } })"
    )
    window.visit(QUICKSTART)
    tab(window, "Python").click()
    assert shown(window) == {"python"}
    window.context.close()
    assert window.complaints == []


def test_print_shows_the_text_and_the_chosen_language_only(stranger):
    stranger.visit(QUICKSTART)
    tab(stranger, "Python").click()
    stranger.page.emulate_media(media="print", color_scheme="dark")
    assert shown(stranger) == {"python"}
    assert stranger.page.locator(".sample .label", has_text="Python").first.is_visible()
    for hidden in ("[role=tablist]", ".copying", "header nav", ".search", ".pages", ".toc"):
        assert not stranger.page.locator(hidden).first.is_visible(), hidden
    background = "getComputedStyle(document.body).backgroundColor"
    assert stranger.page.evaluate(background) == "rgb(255, 255, 255)"
    stranger.page.emulate_media(media="screen", color_scheme="dark")
    assert stranger.page.evaluate(background) == "rgb(18, 23, 30)"


def test_skip_link_is_the_first_stop_and_leads_to_the_text(stranger):
    stranger.visit(KEYS)
    stranger.page.keyboard.press("Tab")
    link = stranger.page.get_by_role("link", name="Skip to the text")
    assert link.evaluate("link => link.getBoundingClientRect().left") > 0
    stranger.page.keyboard.press("Enter")
    assert stranger.page.evaluate("document.activeElement.id") == "main"
