"""The portal at /docs: pages rendered by the command `render_docs`, search, raw Markdown."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import conditional_page, require_safe

from web.errors.catalogue import CATALOGUE

RENDERED: Final = Path(settings.BASE_DIR, "rendered", "docs.json")
HOST_IN_DOCS: Final = "https://api.reachscore.co"  # Readers see the host that they ask.
LONGEST_SEARCH: Final = 100


@dataclass(frozen=True)
class Page:
    """A rendered page. `headings` are tag, anchor and text."""

    url: str
    title: str
    summary: str
    html: str
    markdown: str
    headings: list[tuple[str, str, str]]


@cache
def portal() -> tuple[Page, ...]:
    """Return all pages in order, read once in each process."""
    return tuple(Page(**page) for page in json.loads(RENDERED.read_text()))


@require_safe
@conditional_page
def show(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    """Return this template, with the list of all pages and the reader's own host."""
    guides = [page for page in portal() if page.url.startswith("/docs/guides/")]
    context |= {"guides": guides, "more": [page for page in portal() if page not in guides]}
    context["origin"] = request.build_absolute_uri("/")[:-1]
    kind = "text/plain" if template.endswith(".txt") else "text/html"
    return render(request, template, context, f"{kind}; charset=utf-8")


@require_safe
@conditional_page
def docs_page(request: HttpRequest, address: str) -> HttpResponse:
    """Return a page, or its Markdown if the address ends in .md. Raise Http404 if there is none."""
    urls = [page.url for page in portal()]
    url = f"/docs/{address.removesuffix('.md')}"
    if url not in urls:
        raise Http404
    at = urls.index(url)
    page, origin = portal()[at], request.build_absolute_uri("/")[:-1]
    if address.endswith(".md"):
        text = page.markdown.replace(HOST_IN_DOCS, origin)
        return HttpResponse(text, "text/markdown; charset=utf-8")
    body = page.html.replace(HOST_IN_DOCS, origin)
    around = {"previous": portal()[max(at - 1, 0) : at], "following": portal()[at + 1 : at + 2]}
    return show(request, "docs/page.html", page=page, body=body, **around)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Return the pages, headings and error codes that hold every word of `q`.

    Those whose title, heading or code holds them come first, then those whose text does.
    """
    query = request.GET.get("q", "")[:LONGEST_SEARCH]
    words = _plain(query).split()
    places = [(page.title, page.summary, page.url, page.markdown) for page in portal()]
    for page in portal():
        places += [(page.title, text, f"{page.url}#{at}", "") for _, at, text in page.headings]
    for code, problem in CATALOGUE.items():
        text = f"{problem.message} {problem.fix}"
        places.append(("Errors", code, f"{reverse('errors')}#{code}", text))
    by_heading, by_text = list[tuple[str, str, str]](), list[tuple[str, str, str]]()
    for title, name, url, text in places if words else ():
        heading = _plain(f"{title} {name}")
        if all(word in heading for word in words):
            by_heading.append((title, name, url))
        elif all(word in f"{heading} {_plain(text)}" for word in words):
            by_text.append((title, name, url))
    return show(request, "docs/search.html", query=query, found=by_heading + by_text)


def _plain(text: str) -> str:
    return text.casefold().replace("_", " ")
