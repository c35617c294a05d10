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
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from web.errors.catalogue import CATALOGUE

RENDERED: Final = Path(settings.BASE_DIR, "rendered", "docs.json")
HOST_IN_DOCS: Final = "https://api.reachscore.co"  # Readers see the host that they ask.
LONGEST_SEARCH: Final = 100


@dataclass(frozen=True)
class Page:
    """A rendered page; `address` is below /docs/, `headings` are tag, anchor and text."""

    address: str
    title: str
    summary: str
    html: str
    markdown: str
    headings: list[tuple[str, str, str]]

    @property
    def url(self) -> str:
        """Return the path of the page."""
        return reverse("docs-page", args=[self.address])


@cache
def portal() -> tuple[Page, ...]:
    """Return all pages in order, read once in each process."""
    return tuple(Page(**page) for page in json.loads(RENDERED.read_text()))


def show(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    """Return a page of the portal, with the list of all pages."""
    guides = [page for page in portal() if page.address.startswith("guides/")]
    more = [page for page in portal() if page not in guides]
    here = origin(request)
    return render(request, template, {"guides": guides, "more": more, "origin": here, **context})


def origin(request: HttpRequest) -> str:
    """Return scheme and host as the reader's own commands need them."""
    return f"{request.scheme}://{request.get_host()}"


@require_safe
@conditional_page
@cache_control(public=True, max_age=300)
def docs(request: HttpRequest) -> HttpResponse:
    """Return the first page of the portal."""
    return show(request, "docs/index.html")


@require_safe
@conditional_page
@cache_control(public=True, max_age=300)
def docs_page(request: HttpRequest, address: str) -> HttpResponse:
    """Return a page, or its Markdown if the address ends in .md. Raise Http404 if there is none."""
    addresses = [page.address for page in portal()]
    name = address.removesuffix(".md")
    if name not in addresses:
        raise Http404
    at = addresses.index(name)
    page = portal()[at]
    if name != address:
        text = page.markdown.replace(HOST_IN_DOCS, origin(request))
        return HttpResponse(text, "text/markdown; charset=utf-8")
    body = page.html.replace(HOST_IN_DOCS, origin(request))
    previous, following = portal()[max(at - 1, 0) : at], portal()[at + 1 : at + 2]
    return show(
        request, "docs/page.html", page=page, body=body, previous=previous, following=following
    )


@require_safe
@conditional_page
def errors(request: HttpRequest) -> HttpResponse:
    """Return the page that explains every error code; `doc_url` points to its anchors."""
    return show(request, "docs/errors.html", catalogue=CATALOGUE)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Return the titles, headings and error codes that hold every word of `q`."""
    query = request.GET.get("q", "")[:LONGEST_SEARCH]
    words = query.casefold().replace("_", " ").split()
    texts = [
        (page.title, text, f"{page.url}#{anchor}" if anchor else page.url)
        for page in portal()
        for anchor, text in [
            ("", page.summary),
            *((anchor, text) for _, anchor, text in page.headings),
        ]
    ]
    texts += [("Errors", code, f"{reverse('errors')}#{code}") for code in CATALOGUE]
    found = [
        (title, text, url)
        for title, text, url in texts
        if words and all(word in f"{title} {text}".casefold().replace("_", " ") for word in words)
    ]
    return show(request, "docs/search.html", query=query, found=found)


@require_safe
@conditional_page
def llms_txt(request: HttpRequest) -> HttpResponse:
    """Return the list of pages for language models, as llmstxt.org says."""
    response = show(request, "docs/llms.txt")
    response["Content-Type"] = "text/plain; charset=utf-8"
    return response
