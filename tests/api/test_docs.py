"""Tests of the portal at /docs: pages, links, host, Markdown, search, and how it is rendered."""

import html
import json
import os
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase

from reachscore.management.commands import render_docs, serve
from web.output.portal import HOST_IN_DOCS, LONGEST_SEARCH, portal

URLS = tuple(page.url for page in portal())


def links(text: str) -> set[str]:
    """Return what the page's elements lead to and load."""
    return {html.unescape(found) for found in re.findall(r' (?:href|src|action)="([^"]*)"', text)}


class PortalTests(SimpleTestCase):
    def test_every_internal_link_leads_to_a_page_and_every_anchor_to_its_element(self):
        texts: dict[str, str] = {}
        waiting, followed = ["/docs"], set()
        while waiting:
            url = waiting.pop()
            path, _, anchor = url.partition("#")
            if path not in texts:
                answer = self.client.get(path, follow=True)
                self.assertEqual(answer.status_code, 200, url)
                texts[path] = b"".join(answer).decode()
                ids = re.findall(r' id="([^"]*)"', texts[path])
                self.assertEqual(len(ids), len(set(ids)), url)
                is_page = re.fullmatch(r"/docs(/.*(?<!\.md))?|/scanner-rules/", path)
                for link in links(texts[path]) if is_page and path != "/docs/reference" else ():
                    full = f"{path}{link}" if link.startswith("#") else link
                    self.assertTrue(full.startswith(("/", "https://")), (path, link))
                    if full.startswith("/") and full not in followed:
                        followed.add(full)
                        waiting.append(full)
            if anchor and path != "/docs/reference":  # Its anchors are made by a script.
                self.assertIn(f'id="{anchor}"', texts[path], url)
        self.assertLess({*URLS, *(f"{url}.md" for url in URLS), "/llms.txt"}, set(texts))
        self.assertGreater(len([link for link in followed if "#" in link]), 50)

    def test_commands_name_the_host_that_the_reader_asked(self):
        naming = [page.url for page in portal() if HOST_IN_DOCS in page.markdown]
        self.assertIn("/docs/guides/keys", naming)
        for url in (
            "/docs",
            "/docs/errors",
            "/llms.txt",
            "/scanner-rules/",
            *naming,
            *(f"{url}.md" for url in naming),
        ):
            text = self.client.get(url, headers={"host": "localhost:4711"}).content.decode()
            self.assertNotIn(HOST_IN_DOCS, text, url)
            self.assertIn("http://localhost:4711", text, url)

    def test_page_is_read_only_and_cached_by_its_etag(self):
        for url in (
            "/docs",
            "/docs/errors",
            "/llms.txt",
            "/scanner-rules/",
            *URLS,
            f"{URLS[0]}.md",
        ):
            first = self.client.get(url)
            again = self.client.get(url, headers={"if-none-match": first["ETag"]})
            self.assertEqual((first.status_code, again.status_code), (200, 304), url)
            self.assertEqual(self.client.head(url).status_code, 200, url)
            self.assertEqual(self.client.post(url).status_code, 405, url)

    def test_unknown_page_is_a_404_page(self):
        for path in ("guides/nothing", "guides/nothing.md", "guides/keys/", "x.md.md"):
            answer = self.client.get(f"/docs/{path}")
            self.assertContains(answer, "There is no such page", status_code=404)

    def test_shortened_address_leads_to_the_first_page(self):
        for path in ("/docs/", "/docs/guides", "/docs/guides/"):
            self.assertRedirects(self.client.get(path), "/docs")

    def test_raw_markdown_stands_beside_each_page_without_notes_for_tests(self):
        for page in portal():
            answer = self.client.get(f"{page.url}.md")
            self.assertEqual(answer["Content-Type"], "text/markdown; charset=utf-8")
            self.assertTrue(answer.text.startswith("# "), page.url)
            self.assertNotIn("shown-only", answer.text)
            self.assertNotRegex(answer.text, r"\]\([^)/#:]+\.md")
            self.assertContains(self.client.get("/llms.txt"), f"http://testserver{page.url}.md")

    def test_page_leads_to_the_one_before_and_after_and_lists_its_headings(self):
        for before, url, after in zip(URLS, URLS[1:], URLS[2:], strict=False):
            text = self.client.get(url).content.decode()
            self.assertIn(f'<a rel="prev" href="{before}">', text)
            self.assertIn(f'<a rel="next" href="{after}">', text)
            self.assertEqual(text.count("<h1>"), 1)
        for page in portal():
            toc = self.client.get(page.url).content.decode().partition('class="toc"')[2]
            anchors = re.findall(r'<a href="#([^"]+)">', toc.partition("</nav>")[0])
            self.assertEqual(anchors, [anchor for _, anchor, _ in page.headings], page.url)


class SearchTests(SimpleTestCase):
    def search(self, query: str) -> str:
        return self.client.get("/docs/search", {"q": query}).content.decode()

    def test_search_finds_pages_headings_and_codes_that_hold_every_word(self):
        for query, expected in (
            ("compat", "/docs/compatibility"),
            ("ENDS something", "/docs/compatibility#how-something-ends"),
            ("rate_limit", "/docs/errors#rate_limit_exceeded"),
            ("limit errors RATE", "/docs/errors#rate_limit_exceeded"),
            ("  what   may grow ", "/docs/compatibility#what-may-grow"),
            ("retry", "/docs/guides/idempotency"),
            ("overlap_seconds", "/docs/guides/rotation"),
            ("one json object", "/docs/errors#invalid_json"),
        ):
            self.assertIn(f'<a href="{expected}">', self.search(query), query)
        for query, said in (
            ("", "Type words"),
            (" ", "No page"),
            ("compatibility zebra", "No page"),
            ("\0\u202e", "No page"),
        ):
            self.assertIn(said, self.search(query), query)
        found = re.findall(r'<li><a href="(/docs[^"]*)"><strong>', self.search("addresses"))
        headings = [url for url in found if "#" in url]
        self.assertGreater(len(found), len(headings))
        self.assertEqual(found[: len(headings)], headings, "headings stand before texts")
        for raw in ("q=%ff%00", "q", "q=a&q=b", "x=1"):
            self.assertEqual(self.client.get(f"/docs/search?{raw}").status_code, 200, raw)

    def test_search_escapes_and_shortens_what_was_typed(self):
        text = self.search('"><script>alert(1)</script>')
        self.assertNotIn("<script>", text)
        self.assertIn("&lt;script&gt;", text)
        long = self.search("word " * 20_000)
        self.assertIn(("word " * 20_000)[:LONGEST_SEARCH], long)
        self.assertLess(len(long), 10_000)

    def test_key_in_a_search_is_refused_and_not_repeated(self):
        key = f"rk_live_{'a' * 8}_{'b' * 38}"
        answer = self.client.get("/docs/search", {"q": f"is {key} mine"})
        self.assertEqual(answer.status_code, 400)
        self.assertNotIn(key, answer.text)


SOURCE = """# A page

A [page](compatibility.md#what-stays), [itself](page.md), a [file](deploy.md),
a [code](/docs/errors#x), a [site](https://example.com/a.md).

## Again & `again`

| a | b |
| --- | ---: |
| 1 | <b>2</b> |

```sh
export A=1
```

```
a ──> b
```

```bash
curl https://api.reachscore.co
```
```python
"<b>"
```
```javascript shown-only: it waits for a minute
1
```
```json response
{"a": 1}
```

## Again & again

1. In a list:
   ```bash
   curl
   ```

   ```text output
   ok
   ```
"""


@pytest.fixture
def page(monkeypatch, settings, tmp_path):
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text(SOURCE)
    monkeypatch.setitem(render_docs.URLS, "docs/page.md", "/docs/page")
    return render_docs.rendered("docs/page.md", "Page", "A summary.")


def test_headings_get_the_anchors_of_github_and_a_number_if_repeated(page):
    assert page.headings == [
        ("h2", "again--again", "Again & again"),
        ("h2", "again--again-1", "Again & again"),
    ]
    assert '<h2 id="again--again-1">' in page.html


def test_links_between_files_lead_to_pages_or_name_the_file(page):
    for link in (
        "[page](/docs/compatibility#what-stays)",
        "[itself](/docs/page)",
        "file (`docs/deploy.md`)",
        "[code](/docs/errors#x)",
        "[site](https://example.com/a.md)",
    ):
        assert link in page.markdown


def test_neighbouring_samples_are_one_group_and_answers_are_none(page):
    (group,) = re.findall(r'<div class="samples">(.*?</div>)</div>', page.html, re.DOTALL)
    assert re.findall(r'class="label">(.*?)<', group) == ["curl", "Python", "JavaScript"]
    languages = re.findall(r'<div class="(\w+)" data-language="(\w+)">', page.html)
    assert languages == [
        ("sample", "sh"),
        ("sample", "text"),
        ("sample", "bash"),
        ("sample", "python"),
        ("sample", "javascript"),
        ("answer", "json"),
        ("sample", "bash"),
        ("answer", "text"),
    ]
    assert re.findall(r'class="label">(.*?)<', page.html)[3:] == ["Response", "Output"]
    assert "it waits for a minute" not in page.html + page.markdown
    identities = re.findall(r' id="(code-\d+)"', page.html)
    assert len(set(identities)) == 8
    copied = re.findall(r' data-copies="(code-\d+)"', page.html)
    assert [one for one in identities if one not in copied] == [identities[1]]  # The drawing.


def test_rendered_page_has_no_raw_html_and_no_style(page):
    assert "<b>" not in page.html
    assert "style" not in page.html
    assert '<td class="align-right">' in page.html


def test_collectstatic_renders_the_docs(monkeypatch, settings, tmp_path):
    rendered = tmp_path / "rendered" / "docs.json"
    monkeypatch.setattr(render_docs, "RENDERED", rendered)
    settings.STATIC_ROOT, settings.STATICFILES_DIRS = tmp_path / "static", []
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    call_command("collectstatic", interactive=False, dry_run=True, verbosity=0)
    assert not rendered.exists()
    call_command("collectstatic", interactive=False, verbosity=0)
    assert [page["url"] for page in json.loads(rendered.read_text())] == list(URLS)
    assert list(rendered.parent.iterdir()) == [rendered]


def test_production_does_not_start_before_docs_and_static_files_are_made(
    monkeypatch, settings, tmp_path
):
    settings.PRODUCTION, settings.STATIC_ROOT = True, tmp_path
    docs, files = tmp_path / "docs.json", tmp_path / "staticfiles.json"
    monkeypatch.setattr(serve, "RENDERED", docs)
    monkeypatch.setattr(serve, "refuse_taken_port", lambda *_, **__: None)
    monkeypatch.setattr(os, "execv", lambda *_: None)
    for made in (docs, files):
        made.touch()
        with pytest.raises(CommandError, match="collectstatic --noinput"):
            call_command("serve")
        made.unlink()
    docs.touch()
    files.touch()
    call_command("serve")
