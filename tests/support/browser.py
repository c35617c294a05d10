"""A real browser, Debian's Chromium, that collects every complaint of a page.

SCREENSHOTS=<folder> keeps pictures of every page that a test visits: light, dark, and on a
phone.
PICTURES=<folder> keeps those that the documentation shows; `make pictures` does.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, ViewportSize

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
)
SIZE: "ViewportSize" = {"width": 1280, "height": 900}
LOOKS: tuple[tuple[str, Literal["light", "dark"], int], ...] = (
    ("light", "light", 1280),
    ("dark", "dark", 1280),
    ("phone", "light", 390),
)
AXE = files("axe_playwright_python") / "axe.min.js"
# The rules that axe runs in each scheme: all in the light; in the dark only those of its category
# color, because nothing else differs there.
AXE_RULES: tuple[tuple[Literal["light", "dark"], dict[str, list[str]]], ...] = (
    ("light", {}),
    ("dark", {"runOnly": ["color-contrast", "link-in-text-block"]}),
)
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (violation) =>
    console.error(`CSP: ${violation.violatedDirective} stopped ${violation.blockedURI}`));
"""
# Inputs scroll their own text, and options of a list box have a title.
LAYOUT_FAULTS = r"""() => {
    const faults = [];
    for (const element of document.querySelectorAll("html, #content *")) {
        const clips = element.matches("html") || getComputedStyle(element).overflowX !== "visible";
        const over = element.scrollWidth - element.clientWidth;
        if (clips && over > 1 && element.clientWidth > 1 && !element.matches("input, select"))
            faults.push(`${element.tagName}.${element.className} is ${over} px too wide`);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; text = texts.nextNode();) {
        // In “name (key_…)” the Latin id keeps the rest in its place.
        const turns = /[\u0590-\u08ff]/.test(text.data) && !/ \((key|org)_/.test(text.data);
        const keeps = (element) => element.matches("bdi, option, textarea")
            || (getComputedStyle(element).unicodeBidi === "plaintext"
                && element.textContent.trim() === text.data.trim());
        let around = turns && text.parentElement;
        while (around && !keeps(around)) around = around.parentElement;
        if (turns && !around)
            faults.push(`not isolated: ${text.data}`);
    }
    return faults;
}"""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Launch Chromium; skip the test with a reason if there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("No Chromium in PATH; on Debian: apt install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=list(SWITCHES), timeout=120_000
        )
        yield browser
        browser.close()


class Window:
    """One window with cookies of its own; `complaints` must be empty at the end of a test."""

    def __init__(self, browser: "Browser", url: str) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.context = browser.new_context(base_url=url, viewport=SIZE, reduced_motion="reduce")
        self.context.set_default_timeout(60_000)
        self.context.add_init_script(REPORT_VIOLATIONS)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        self.page.on("pageerror", lambda error: self._hear("error", error.message))
        self.page.on("request", self._see)

    def visit(self, path: str) -> None:
        """Open a page and check that it answers 200."""
        response = self.page.goto(path)
        assert response is not None
        assert response.status == 200, (path, response.status)
        self.picture(path)

    def press(self, name: str) -> None:
        """Press the button or follow the link of this name, and wait for the next page."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        with self.page.expect_navigation():
            button.or_(link).first.click()
        self.picture(f"{self.page.url.removeprefix(self.url)} after {name}")

    def travel(self, where: Literal["back", "forward"]) -> None:
        """Go one page back or forward, even if the browser has nothing to show there."""
        error = pytest.importorskip("playwright.sync_api").Error
        try:
            self.page.go_back() if where == "back" else self.page.go_forward()
        except error:
            self.page.wait_for_url("chrome-error://**")

    def log_in(self, user: str, password: str) -> None:
        """Log in to the admin as staff do."""
        self.visit("/admin/login/?next=/admin/")
        self.page.get_by_label("Username").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.press("Log in")
        assert self.page.url == f"{self.url}/admin/"

    def picture(self, name: str) -> None:
        """Keep a screenshot if the developer asked for them."""
        if folder := os.environ.get("SCREENSHOTS"):
            file = "".join(c if c.isalnum() else "-" for c in name).strip("-") or "home"
            for look, scheme, width in LOOKS:
                self.page.emulate_media(color_scheme=scheme)
                self.page.set_viewport_size({"width": width, "height": 900})
                path = Path(folder) / f"{file[:80]}-{look}.png"
                self.page.screenshot(path=path, full_page=True)
            self.page.emulate_media(color_scheme="light")
            self.page.set_viewport_size(SIZE)

    def figure(self, name: str) -> None:
        """Keep a small picture for the documentation, with every key covered."""
        if folder := os.environ.get("PICTURES"):
            self.page.set_viewport_size({"width": 1100, "height": 700})
            covered = [self.page.locator(".plaintext")]
            self.page.screenshot(path=Path(folder) / f"{name}.png", mask=covered)
            self.page.set_viewport_size(SIZE)

    def check_access(self, *, except_rules: Collection[str] = ()) -> None:
        """Run axe on the page, light and dark; fail on a serious or critical finding."""
        for scheme, rules in AXE_RULES:
            self.page.emulate_media(color_scheme=scheme)
            # Evaluated through the debugger, which the page's CSP does not bind.
            if not self.page.evaluate("'axe' in window"):
                self.page.evaluate(AXE.read_text())
            before = list(self.complaints)  # The CSP refuses axe's styles.
            options = {"resultTypes": ["violations"], **rules}
            found = self.page.evaluate("options => axe.run(options)", options)
            self.complaints = before
            grave = [
                f"{scheme} {self.page.url}: {violation['id']}, {node['html'][:200]} "
                f"{node['failureSummary'][:300]}"
                for violation in found["violations"]
                if violation["impact"] in ("serious", "critical")
                and violation["id"] not in except_rules
                for node in violation["nodes"]
            ]
            self.complaints += grave
        self.page.emulate_media(color_scheme="light")

    def check_layout(self) -> None:
        """Check that nothing scrolls sideways, on a desktop or a phone, and that names are isolated
        from the direction of the text beside them.
        """
        for width in (390, 1280):
            self.page.set_viewport_size({"width": width, "height": 900})
            for fault in self.page.evaluate(LAYOUT_FAULTS):
                self.complaints.append(f"{self.page.url} at {width} px: {fault}")

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind} on {self.page.url}: {text}")

    def _see(self, request: "Request") -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.complaints.append(f"{self.page.url} asked for {request.url}")
