"""Render the pages of /docs from Markdown, by packages that the serving process never imports."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import PurePath
from posixpath import dirname, join, normpath
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand
from django.template.loader import render_to_string
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from web.output.portal import RENDERED, Page

# File, title, and a sentence for the first page, in the order of reading.
GUIDES: Final = (
    ("docs/guides/quickstart.md", "Quickstart", "A key of your own in three steps."),
    ("docs/guides/keys.md", "Keys", "Make, find, limit and revoke keys."),
    ("docs/guides/rotation.md", "Rotation", "Give a key a new secret without downtime."),
    ("docs/guides/leaks.md", "Leaked keys", "Kill a key that others can read, yours or not."),
    ("docs/guides/notices.md", "Notices", "Who is told of leaks and ends, and how to change it."),
    ("docs/guides/limits.md", "Limits and quotas", "Requests a minute, tests a month."),
    ("docs/guides/idempotency.md", "Idempotency and retries", "Send a request again, safely."),
    ("docs/guides/pagination.md", "Pagination", "Read long lists, forward and back."),
    ("docs/guides/sandbox.md", "The sandbox", "Develop with test keys, and rehearse every error."),
    ("docs/gateways.md", "Gateways", "Let a proxy ask who calls, for services in any language."),
)
MORE: Final = (
    ("CHANGELOG.md", "Changelog", "What changed, version by version."),
    ("docs/compatibility.md", "Compatibility", "What may grow, and how you hear of an end."),
)
URLS: Final = {file: f"/docs/guides/{PurePath(file).stem}" for file, *_ in GUIDES}
URLS.update((file, f"/docs/{PurePath(file).stem.lower()}") for file, *_ in MORE)
LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
# Neighbouring samples in these languages are tabs. What follows may be their answer.
TABS: Final = {"bash": "curl", "python": "Python", "javascript": "JavaScript"}
ANSWERS: Final = {"json response": "Response", "text output": "Output"}


class Command(BaseCommand):
    help = "Render the pages of /docs from Markdown. collectstatic and run_demo do it, too."

    def handle(self, *args: Any, **options: Any) -> None:
        RENDERED.parent.mkdir(exist_ok=True)
        # Moved into its place whole: a starting process may read it now.
        scratch = RENDERED.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps([asdict(rendered(*page)) for page in (*GUIDES, *MORE)]))
        scratch.replace(RENDERED)


def rendered(file: str, title: str, summary: str) -> Page:
    """Return the page. Its HTML begins after the first heading, which the template shows."""
    text = markdown(file)
    md = MarkdownIt("commonmark", {"html": False}).enable("table")
    md.add_render_rule("fence", fence)
    tokens = md.parse(text)
    headings: list[tuple[str, str, str]] = []
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open" and opened.tag != "h1":
            name = "".join(child.content for child in inline.children or ())
            anchor = re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")  # As GitHub's.
            if repeated := sum(name == other for _, _, other in headings):
                anchor += f"-{repeated}"
            headings.append((opened.tag, anchor, name))
            opened.attrSet("id", anchor)
            mark = f' <a class="anchor" href="#{anchor}" aria-label="Link to here">#</a>'
            inline.children = [*(inline.children or ()), Token("html_inline", "", 0, content=mark)]
        elif align := opened.attrs.pop("style", ""):  # Of a column. The CSP allows no styles.
            opened.attrSet("class", str(align).replace("text-align:", "align-"))
    html = md.renderer.render(tokens, md.options, {}).partition("</h1>")[2]
    return Page(URLS[file], title, summary, html, text, headings)


def markdown(file: str) -> str:
    """Return the Markdown as readers get it: links lead to pages, and notes for tests are gone."""

    def follow(link: re.Match[str]) -> str:
        name, path, anchor = link.groups()
        target = normpath(join(dirname(file), path))
        if target in URLS:
            return f"[{name}]({URLS[target]}{anchor or ''})"
        # Other files are in the repository only.
        return link[0] if path.startswith("/") else f"{name} (`{target}`)"

    text = LINK.sub(follow, (settings.BASE_DIR / file).read_text())
    text = re.sub(r"^( *```.*?) +shown-only:.*$", r"\1", text, flags=re.MULTILINE)
    return text.replace("## Unreleased\n\n## ", "## ")  # There is nothing in it after a release.


def fence(_: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """Return a block of code. The first and last of a group of tabs open and close its element."""

    def is_tab(near: int) -> bool:
        inside = 0 <= near < len(tokens) and tokens[near].type == "fence"
        return inside and tokens[near].info.strip() in TABS

    info = tokens[at].info.strip() or "text"
    before, after = (is_tab(at) and is_tab(near) for near in (at - 1, at + 1))
    label = ANSWERS.get(info) or (TABS[info] if before or after else "")
    language = info.split()[0]
    code = highlight(tokens[at].content, get_lexer_by_name(language), HtmlFormatter(nowrap=True))
    block = {"at": at, "code": code.rstrip(), "label": label, "language": language}
    block |= {"before": before, "after": after, "is_answer": info in ANSWERS}
    block["is_drawing"] = info == "text"  # Its lines must not wrap, so it scrolls.
    return render_to_string("docs/block.html", block)
