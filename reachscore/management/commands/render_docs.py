"""Render the pages of /docs from Markdown, by packages that the serving process never imports."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from itertools import pairwise
from posixpath import dirname, join, normpath
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from web.output.portal import RENDERED, Page

# Address below /docs, title, file, and a sentence for the first page, in the order of reading.
PAGES: Final = (
    (
        "guides/quickstart",
        "Quickstart",
        "docs/guides/quickstart.md",
        "Three steps from nothing to a key of your own.",
    ),
    ("guides/keys", "Keys", "docs/keys.md", "Make, find, limit and revoke keys."),
    (
        "guides/rotation",
        "Rotation",
        "docs/guides/rotation.md",
        "Give a key a new secret without downtime.",
    ),
    (
        "guides/limits",
        "Limits and quotas",
        "docs/limits.md",
        "Requests a minute, tests a month, and a key's own share.",
    ),
    (
        "guides/idempotency",
        "Idempotency and retries",
        "docs/guides/idempotency.md",
        "Send a request again without doing it twice.",
    ),
    (
        "guides/pagination",
        "Pagination",
        "docs/guides/pagination.md",
        "Read lists page by page, forward and back.",
    ),
    (
        "guides/sandbox",
        "The sandbox",
        "docs/sandbox.md",
        "Develop with test keys and rehearse every error.",
    ),
    (
        "guides/gateways",
        "Gateways",
        "docs/gateways.md",
        "Let nginx, Envoy, Traefik or Caddy ask who is calling.",
    ),
    ("changelog", "Changelog", "CHANGELOG.md", "What changed, version by version."),
    (
        "compatibility",
        "Compatibility",
        "docs/compatibility.md",
        "What may grow, what stays, and how you hear of an end.",
    ),
)
ADDRESSES: Final = {file: address for address, _, file, _ in PAGES}
LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
# Neighbouring blocks in these languages are tabs; the answer they get is none.
TABS: Final = {"bash": "curl", "python": "Python", "javascript": "JavaScript"}
ANSWERS: Final = {"json response": "Response", "text output": "Output"}


class Command(BaseCommand):
    help = "Render the pages of /docs from Markdown. collectstatic and run_demo do it, too."

    def handle(self, *args: Any, **options: Any) -> None:
        pages = [rendered(*page) for page in PAGES if (settings.BASE_DIR / page[2]).exists()]
        RENDERED.parent.mkdir(exist_ok=True)
        # Moved into its place whole: a starting process may read it now.
        scratch = RENDERED.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps([asdict(page) for page in pages], ensure_ascii=False))
        scratch.replace(RENDERED)


def rendered(address: str, title: str, file: str, summary: str) -> Page:
    """Return the page with its HTML, without the first heading, which is of the template."""
    text = markdown(file)
    md = MarkdownIt("commonmark", {"html": False}).enable("table")
    md.add_render_rule("fence", fence)
    tokens = md.parse(text)
    headings: list[tuple[str, str, str]] = []
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open" and opened.tag != "h1":
            name = "".join(child.content for child in inline.children or ())
            anchor = anchor_of(name, [other for _, other, _ in headings])
            headings.append((opened.tag, anchor, name))
            opened.attrSet("id", anchor)
            mark = Token("html_inline", "", 0)
            mark.content = f' <a class="anchor" href="#{anchor}" aria-label="Link to here">#</a>'
            inline.children = [*(inline.children or ()), mark]
        elif align := opened.attrs.pop("style", ""):  # Of a column. The CSP allows no styles.
            opened.attrSet("class", str(align).replace("text-align:", "align-"))
    heading, _, body = md.renderer.render(tokens, md.options, {}).partition("</h1>")
    return Page(address, title, summary, body or heading, text, headings)


def markdown(file: str) -> str:
    """Return the Markdown as readers get it: links lead to pages, and notes for tests are gone."""

    def follow(link: re.Match[str]) -> str:
        name, path, anchor = link.groups()
        target = normpath(join(dirname(file), path))
        if target in ADDRESSES:
            return f"[{name}](/docs/{ADDRESSES[target]}{anchor or ''})"
        # Other files are in the repository only.
        return link[0] if path.startswith("/") else f"{name} (`{target}`)"

    text = LINK.sub(follow, (settings.BASE_DIR / file).read_text())
    text = re.sub(r"^( *```.*?) +shown-only:.*$", r"\1", text, flags=re.MULTILINE)
    return text.replace("## Unreleased\n\n## ", "## ")  # There is nothing in it after a release.


def anchor_of(heading: str, taken: Sequence[str]) -> str:
    """Return the heading's anchor as GitHub makes it; the second of a name ends in -1."""
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    repeated = sum(
        re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other) is not None for other in taken
    )
    return f"{anchor}-{repeated}" if repeated else anchor


def fence(_: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """Return a block of code with its label and copy button; open and close groups of tabs."""
    info = tokens[at].info.strip()
    env["blocks"] = env.get("blocks", 0) + 1
    before, after = (is_tab(tokens[near : near + 1]) for near in (max(at - 1, 0), at + 1))
    before, after = (info in TABS and at > 0 and before), (info in TABS and after)
    label = TABS[info] if before or after else ANSWERS.get(info, "")
    lexer = get_lexer_by_name((info.split() or ["text"])[0], stripall=True)
    code = highlight(tokens[at].content, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    ident = f"code-{env['blocks']}"
    block = (
        f'<div class="{"answer" if info in ANSWERS else "sample"}" data-language="{escape(info)}">'
        + (f'<p class="label">{label}</p>' if label else "")
        + f'<pre><code id="{ident}">{code}</code></pre><p class="copying"><button type="button"'
        f' class="copy" data-copies="{ident}" hidden>Copy</button> <span role="status"></span></p>'
        "</div>"
    )
    opens, closes = after and not before, before and not after
    return ('<div class="samples">' if opens else "") + block + ("</div>" if closes else "") + "\n"


def is_tab(tokens: Sequence[Token]) -> bool:
    """Return True if this one token is a sample in one of the languages of tabs."""
    return [token.info.strip() in TABS and token.type == "fence" for token in tokens] == [True]
