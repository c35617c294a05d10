"""The admin's own addresses and the forms on its pages, read from the admin itself."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.urls import URLPattern, URLResolver, reverse

from staff.models import User


def admin_patterns(
    patterns: list[URLPattern | URLResolver] | None = None,
) -> Iterator[URLPattern]:
    """Yield the URL pattern of every page of the admin, without prefixes."""
    for pattern in admin.site.get_urls() if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from admin_patterns(cast(Any, pattern).url_patterns)
        elif pattern.name or "(?P<url>" not in str(pattern.pattern):
            yield pattern


def page_url(pattern: URLPattern, rows: dict[str, models.Model]) -> str:
    """Return the address of a page, with the id of its row.

    `rows` are keyed by a page's name or by the beginning of the names of a model's pages.
    """
    name = str(pattern.name)
    values = {
        "content_type_id": ContentType.objects.get_for_model(User).pk,
        "pk": 0,
    }
    kwargs: dict[str, Any] = {}
    for parameter in pattern.pattern.regex.groupindex:
        if parameter in ("object_id", "id"):
            keys = (name, name.rpartition("_")[0], "_".join(name.split("_")[:2]))
            kwargs[parameter] = quote(next(rows[key] for key in keys if key in rows).pk)
        else:
            kwargs[parameter] = values.get(parameter, "accounts")
    return reverse(f"admin:{name}", kwargs=kwargs)


class PostForms(HTMLParser):
    """Parses a page's POST forms into pairs of action and fields with their values."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._fields: dict[str, str] | None = None
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = {}
            if given.get("method", "").lower() == "post":
                self.forms.append((given.get("action", ""), self._fields))
        elif self._fields is None:
            return
        elif tag == "option":
            self._fields[self._select] = self._fields[self._select] or given.get("value", "")
        elif tag in ("input", "select", "textarea", "button") and "name" in given:
            self._select = given["name"]
            self._fields.setdefault(given["name"], given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None
