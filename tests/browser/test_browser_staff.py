"""Tests in a real browser of each flow of staff: axe on every page, light and dark."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_browser import WHOLE_KEY
from tests.support.browser import Window
from tests.support.demo_server import DemoServer, manage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEYS = "/admin/apikeys/apikey/"
EVENTS = "/admin/audit/auditevent/"
ORGANIZATIONS = "/admin/accounts/organization/"


@pytest.fixture(scope="module")
def logged_in(browser: "Browser", server: DemoServer) -> Iterator[Window]:
    fill("fill")
    window = Window(browser, server.url)
    window.log_in("admin", server.password)
    yield window
    window.context.close()


def fill(how: str) -> str:
    """Call a function of browser_data in the server's database; return its JSON."""
    code = f"import json; from tests.support.browser_data import *; print(json.dumps({how}()))"
    filled = manage("shell", "--no-imports", "-c", code)
    assert filled.returncode == 0, filled.stderr
    return filled.stdout


@pytest.fixture
def staff(logged_in: Window) -> Iterator[Window]:
    yield logged_in
    complaints, logged_in.complaints = logged_in.complaints, []
    assert not complaints, "\n".join(complaints)


def looked_at(staff: Window, figure: str = "") -> None:
    """Check what holds for every page: accessible, and no sideways scrolling."""
    staff.check_access()
    staff.check_layout()
    if figure:
        staff.figure(figure)


def find(staff: Window, name: str) -> None:
    """Go to the page of the key of this name, as staff do."""
    staff.visit(KEYS)
    staff.page.get_by_role("textbox", name="Search").fill(name)
    staff.press("Search")
    with staff.page.expect_navigation():
        staff.page.locator("#result_list th a", has_text=name).first.click()


def told(staff: Window) -> str:
    return staff.page.locator(".messagelist").inner_text()


def test_text_copied_from_a_row_of_the_key_list_finds_that_row(staff):
    staff.visit(f"{KEYS}?q=Contractor")  # Other files fill the first page of this server's list.
    row = staff.page.locator("#result_list tbody tr", has_text="Contractor")
    key, owner = row.locator("th a").inner_text(), row.locator("td").nth(1).inner_text()
    for text in (f"{owner} {key}", key[key.index("…") :]):
        staff.visit(KEYS)
        staff.page.get_by_role("textbox", name="Search").fill(text)
        staff.press("Search")
        assert staff.page.locator("#result_list tbody tr").count() == 1, text
        assert "Contractor" in staff.page.locator("#result_list").inner_text()
    looked_at(staff)


def test_home_links_to_the_keys_needing_attention(staff):
    staff.visit("/admin/")
    looked_at(staff, "home")
    staff.page.get_by_text("The same as a table").click()
    assert staff.page.get_by_role("table", name="Requests a day").is_visible()
    with staff.page.expect_navigation():
        staff.page.get_by_role("link", name="active key expires within 30 days").click()
    assert staff.page.locator("#result_list tbody tr").count() == 1
    assert "Contractor" in staff.page.locator("#result_list").inner_text()


def test_admin_lists_and_forms_are_accessible(staff):
    for path in (
        KEYS,
        f"{KEYS}?status=revoked&livemode__exact=0",
        f"{KEYS}add/",
        ORGANIZATIONS,
        f"{ORGANIZATIONS}add/",
        f"{EVENTS}?organization=org_nothing00000",
        "/admin/accounts/plan/",
        "/admin/accounts/plan/team/change/",
        "/admin/staff/user/",
        "/admin/staff/user/add/",
        "/admin/staff/user/1/change/",
        "/admin/staff/user/1/history/",
        "/admin/auth/group/",
        "/admin/auth/group/add/",
        "/admin/auth/group/1/change/",
        "/admin/password_change/",
        "/admin/second_factor/",
    ):
        staff.visit(path)
        looked_at(staff, "keys" if path == KEYS else "")


def test_leaked_key_is_found_by_pasting_it_and_revoked_with_its_descendants(staff):
    find(staff, "Key management")
    looked_at(staff, "key")
    staff.press("Revoke key")
    looked_at(staff)
    staff.page.get_by_label("Leaked").check()
    staff.page.get_by_label("Revoke what it made, too: 1 key").check()
    staff.page.get_by_label("In your words").fill("pasted into a public ticket")
    staff.figure("revoke")
    stale = staff.context.new_page()
    stale.goto(staff.page.url)
    staff.press("Revoke key")
    assert "is revoked, and with it 1 key." in told(staff)
    looked_at(staff)
    # The other tab still shows the form.
    stale.get_by_label("Unused").check()
    stale.get_by_role("button", name="Revoke key").click()
    assert "was revoked already; nothing changed" in stale.locator(".messagelist").inner_text()
    stale.close()


def test_rotated_keys_secret_is_gone_after_reload_and_back(staff):
    find(staff, "Nightly import")
    key_page = staff.page.url
    staff.press("Rotate")
    looked_at(staff, "rotate")
    staff.page.get_by_label("Reason").fill("asked for")
    staff.press("Rotate")
    shown = staff.page.locator(".plaintext").inner_text()
    assert WHOLE_KEY.fullmatch(shown)
    looked_at(staff)
    staff.page.reload()
    assert "was changed after that page was opened" in told(staff)
    assert shown not in staff.page.content()
    staff.travel("back")
    assert shown not in staff.page.content()

    staff.page.goto(key_page)
    staff.press("Finish rotation")
    looked_at(staff)
    staff.page.get_by_label("Reason").fill("asked for")
    staff.press("Finish rotation")
    assert "has ended" in told(staff)


def test_rotation_of_a_key_revoked_meanwhile_says_so(staff):
    find(staff, "Old dashboard")
    with_form = staff.context.new_page()
    with_form.goto(staff.page.url.partition("change/")[0] + "rotate/")
    staff.press("Revoke key")
    staff.page.get_by_label("Unused").check()
    staff.press("Revoke key")
    with_form.get_by_label("Reason").fill("asked for")
    with_form.get_by_role("button", name="Rotate").click()
    assert "is revoked; nothing changed" in with_form.locator(".messagelist").inner_text()
    with_form.close()


def test_scopes_can_be_narrowed_and_name_expiry_and_addresses_changed(staff):
    find(staff, "Nightly import")
    staff.press("Narrow scopes")
    looked_at(staff)
    assert not staff.page.get_by_label("tests:write").is_checked()
    staff.page.get_by_label("Reason").fill("fewest scopes")
    staff.press("Narrow scopes")
    assert "holds now: tests:read" in told(staff)

    staff.press("Change key")
    staff.page.get_by_label("Reason").fill("asked for")
    staff.page.get_by_label("Allowed addresses").fill("192.0.2.7/24")
    staff.press("Change key")
    assert "has bits beside the network" in staff.page.locator(".errorlist").first.inner_text()
    looked_at(staff)
    staff.page.get_by_label("Allowed addresses").fill("192.0.2.0/24")
    staff.page.get_by_label("Expires on, date").fill("2029-12-31")
    staff.press("Change key")
    assert "is changed: Allowed addresses, Expires (UTC)." in told(staff)
    assert "2029-12-31" in staff.page.locator(".facts").inner_text()


def test_copy_id_button_copies_the_id_and_says_so(staff):
    find(staff, "Nightly import")
    staff.context.grant_permissions(["clipboard-read", "clipboard-write"])
    staff.page.get_by_role("button", name="Copy id").press("Enter")
    staff.page.get_by_role("status").get_by_text("Copied", exact=True).wait_for()
    assert staff.page.evaluate("navigator.clipboard.readText()").startswith("key_")


def test_selected_keys_are_narrowed_then_revoked_after_a_dry_run(staff):
    page = staff.page
    for action, button in [
        ("Narrow the selected keys to their used scopes", "Narrow 3 keys"),
        ("Revoke the selected keys", "Revoke 3 keys"),
    ]:
        staff.visit(f"{KEYS}?q=Import+&o=1")
        for name in ("Import A", "Import B", "Import C"):
            page.locator("tr", has_text=name).get_by_role("checkbox").check()
        page.get_by_label("Action:").select_option(label=action)
        with page.expect_navigation():
            page.get_by_role("button", name="Go").click()
        assert "Nothing has been changed yet" in page.locator("#content").inner_text()
        looked_at(staff, "dry-run")
        if "Revoke" in action:
            page.get_by_label("Replaced").check()
        else:
            page.get_by_label("Reason").fill("fewest scopes")
        staff.press(button)
        assert "3 of 3 keys" in page.get_by_role("status").inner_text()
        said, first = page.get_by_role("status").bounding_box(), page.locator("ol li").first
        assert said["y"] < first.bounding_box()["y"]  # Above the earlier lines.
        looked_at(staff, "progress")


def test_address_is_verified_and_most_notices_stopped_by_links_without_a_log_in(staff, stranger):
    verify, stop = json.loads(fill("contact_links"))
    stranger.visit(verify)
    looked_at(stranger)
    stranger.press("Confirm this address")
    assert "is confirmed" in stranger.page.locator("h1").inner_text()
    stranger.visit(stop)
    stranger.press("Stop the other notices")
    looked_at(stranger)
    assert "new@initech.example" in stranger.page.locator("main").inner_text()
    stranger.press("Get all notices again")
    looked_at(stranger)


def test_organization_can_be_viewed_changed_suspended_and_left(staff):
    page = staff.page
    staff.visit(f"{ORGANIZATIONS}?q=Initech")
    staff.press("Initech")
    looked_at(staff, "organization")
    organization_page = page.url
    sent = page.locator("#notices").inner_text()
    assert all(said in sent for said in ("ops@initech.example", "4BxYZ", "given up", "waits"))
    for verb, label, text in (
        ("Change plan", "Tests, in place of the plan's", "5000"),
        ("Change contacts", "Contacts", "olga@initech.example"),
        ("Suspend", "", ""),
        ("Resume", "", ""),
        ("Rename", "Name", "Initech Mail GmbH"),
    ):
        staff.press(verb)
        if label:
            page.get_by_label(label).fill(text)
        page.get_by_label("Reason").fill("agreed by phone")
        looked_at(staff)
        staff.press(verb)
        assert "Initech" in told(staff)
        page.goto(organization_page)
    staff.press("Issue key")
    assert "Issue an API key for Initech Mail GmbH" in page.locator("h1").all_inner_texts()[-1]
    page.get_by_label("Name").fill("Newsletter")
    page.get_by_label("tests:read").check()
    page.get_by_label("Reason").fill("agreed by phone")
    looked_at(staff, "issue")
    staff.press("Issue key")
    assert "of Initech Mail GmbH" in page.locator("#content").inner_text()
    page.goto(organization_page)
    staff.press("Revoke all its keys")
    looked_at(staff, "offboarding")
    page.get_by_label("Left").check()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("status").get_by_text("keys revoked").wait_for()
    page.goto(organization_page)
    assert "0 active live keys" in page.locator("#content").inner_text()
    staff.press("All its events in the audit log")
    looked_at(staff, "audit")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_url("**/change/**")
    looked_at(staff)


def test_form_with_an_old_proof_comes_back_as_typed_and_asks_for_the_proof(staff, server):
    find(staff, "First test key")
    staff.press("Rotate")
    fill("forget_proofs")
    staff.page.get_by_label("7 days").check()
    staff.page.get_by_label("Reason").fill("asked for by phone")
    staff.press("Rotate")
    looked_at(staff)
    assert staff.page.get_by_label("7 days").is_checked()
    assert staff.page.get_by_label("Reason").input_value() == "asked for by phone"
    assert staff.page.evaluate("document.activeElement.name") == "proof-password"
    staff.page.keyboard.type(server.password)
    staff.page.keyboard.press("Enter")
    staff.page.locator("#plaintext").wait_for()


def test_refusal_page_has_the_menu_and_a_way_back(staff):
    for path, status in (("/admin/nothing/", 404), (f"{KEYS}key_5Fnothing00000/change/", 404)):
        assert staff.page.goto(path).status == status
        looked_at(staff)
        assert staff.page.get_by_role("navigation", name="Main").is_visible()
        staff.press("Go to the first page")
        assert staff.page.url.endswith("/admin/")
        staff.complaints.clear()  # The browser complains of the 404 itself.


def test_revocation_can_be_done_by_keyboard_alone(staff):
    find(staff, "First test key")
    page = staff.page
    page.get_by_role("link", name="Revoke key").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/revoke/")
    page.get_by_label("Leaked").focus()
    page.keyboard.press("Space")
    focused = ""
    for _ in range(5):  # A key that made keys has one field more.
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent").strip()
        if focused == "Revoke key":
            break
    assert focused == "Revoke key"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.get_by_text("is revoked; its next request is refused").wait_for()


def test_long_or_right_to_left_name_hides_and_moves_nothing_beside_it(staff):
    page = staff.page
    for path in json.loads(fill("fill_with_long_names")):
        answer = page.request.get(path)
        if answer.status == 200 and "html" in answer.headers["content-type"]:
            staff.visit(path)
            staff.check_layout()
    staff.visit("/admin/second_factor/")
    assert page.get_by_label("Name", exact=True).input_value() == "W" * 60
    fill("forget_passkeys")
    for path in (
        f"{KEYS}?status=suspended",
        f"{KEYS}?status=rotating",
        f"{KEYS}?status=revoked",
        f"{KEYS}?scope=more+than+used",
        f"{ORGANIZATIONS}?attention=suspended",
    ):
        staff.visit(path)
        staff.check_layout()
        assert page.locator("#result_list tbody tr").count() > 0
    find(staff, "WWW")
    page.set_viewport_size({"width": 390, "height": 900})
    label = "cell => getComputedStyle(cell, '::before').content"
    cells = page.locator(".cards tr:first-child td").all()
    labels = [cell.evaluate(label).replace('"', "").strip() for cell in cells]
    assert labels == ["", "State", "Made", "Last used", "From", "By"]
    page.emulate_media(media="print")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    staff.check_layout()
    assert not page.locator("#header, .breadcrumbs, .verbs").filter(visible=True).count()
    assert page.locator(".facts").is_visible()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.emulate_media(media="screen")
    staff.visit(f"{KEYS}?q=WWW")
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(label="Revoke the selected keys")
    staff.check_layout()
    staff.press("Go")
    staff.check_layout()
    page.get_by_label("Left").check()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("status").get_by_text("keys revoked").wait_for()
    staff.check_layout()
