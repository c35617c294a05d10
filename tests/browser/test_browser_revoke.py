"""Tests in a real browser of /revoke, as people see it who found a key."""

from apikeys.plaintext import new_plaintext
from tests.support.browser import Window


def test_finder_pastes_a_key_and_the_box_comes_back_empty_after_any_fault(stranger: Window):
    key = new_plaintext(livemode=True)
    page = stranger.page
    stranger.visit("/docs/errors")
    stranger.press("revoke it")
    for keys, found_at, said in (
        (key, "https://git.example/app", "Received: rpt_"),
        (f"{key}\n" * 300, "", "among the 300 that you sent"),
        ("x " * 1001, "", "Nothing was received."),
        (key, f"https://git.example/{key}", "and not hold the key itself."),
    ):
        page.get_by_label("Exposed key").fill(keys)
        page.get_by_label("Where you found it").fill(found_at)
        stranger.press("Revoke")
        assert page.get_by_text(said).is_visible(), said
        assert page.url == f"{stranger.url}/revoke"
        assert key[17:] not in page.content()
        for label in ("Exposed key", "Where you found it"):
            assert page.get_by_label(label).input_value() == ""
        stranger.check_access()
        stranger.check_layout()
        stranger.complaints = [said for said in stranger.complaints if "400" not in said]
    stranger.travel("back")  # To an answer that the browser has not kept.
    assert key[17:] not in page.content()
    assert key[17:] not in str(stranger.context.cookies())


def test_finder_needs_no_javascript(browser, server):
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/revoke")
    page.get_by_label("Exposed key").fill(new_plaintext(livemode=False))
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("Received: rpt_").wait_for()
    context.close()
