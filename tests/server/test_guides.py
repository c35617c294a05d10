"""Tests of the guides: each sample does what the page shows.

Those of curl run here, and those of Python and JavaScript in security/samples.py.
"""

import urllib.request

import pytest

from tests.support.guides import (
    DOCS,
    HOST,
    LANGUAGES,
    Bash,
    Mismatch,
    Reader,
    guides,
    readers,
    samples,
)

PAGES = {page.stem: list(samples(page.read_text(), page.stem)) for page in guides()}


@pytest.fixture(scope="module")
def reader(server):
    waiting = readers(server.port, len(PAGES) + 2)
    return waiting.pop


@pytest.mark.parametrize("page", PAGES)
def test_samples_of_curl_print_what_the_guide_shows(page, reader):
    assert reader().follow(PAGES[page], "bash", Bash()) >= 4


def test_run_fails_if_a_sample_is_broken(reader):
    page = (DOCS / "guides/quickstart.md").read_text()
    broken = page.replace(
        '"scopes": ["tests:read", "tests:write"]}', '"scopes": ["tests:read"]}', 1
    )
    with pytest.raises(Mismatch, match=r"quickstart:\d+ \(bash\): \.scopes has 1 items"):
        reader().follow(samples(broken, "quickstart"), "bash", Bash())


def test_reader_gets_from_docs_to_a_rotated_key_by_what_the_pages_say(reader):
    someone = reader()

    def read(path: str) -> str:
        with urllib.request.urlopen(f"{someone.url}{path}", timeout=20) as answer:
            return str(answer.read(), "utf-8")

    assert 'href="/docs/guides/quickstart"' in read("/docs")
    assert 'href="/docs/guides/quickstart.md"' in read("/docs/guides/quickstart")
    page = read("/docs/guides/quickstart.md")
    assert HOST not in page
    someone.follow(samples(page), "bash", Bash())
    assert someone.environ["REACHSCORE_KEY"] == someone.own["rk_live_Qw9Zt5Rb_…"]


@pytest.mark.parametrize("page", PAGES)
def test_every_sample_is_there_in_each_language_with_its_output(page):
    groups: dict[tuple[str, str], list[str]] = {}
    for sample in PAGES[page]:
        if sample.language != "sh":
            assert sample.output_kind in {"json", "text"}, sample.place
            groups.setdefault((sample.output_kind, sample.output), []).append(sample.language)
    for (_, output), languages in groups.items():
        assert languages == list(LANGUAGES) * (len(languages) // 3), output


def test_at_most_five_samples_are_only_shown_and_each_says_why():
    shown_only = [sample.shown_only for page in PAGES.values() for sample in page]
    assert len(list(filter(None, shown_only))) <= 5


@pytest.mark.parametrize(
    ("shown", "printed", "is_same"),
    [
        ('{"id": "key_3iS8wW2xYbC4"}', '{"id":"key_AAAAAAAAAAAA"}', True),
        ('{"id": "key_3iS8wW2xYbC4"}', '{"id":"org_AAAAAAAAAAAA"}', False),
        (
            '["key_3iS8wW2xYbC4", "key_3iS8wW2xYbC4"]',
            '["key_AAAAAAAAAAAA","key_BBBBBBBBBBBB"]',
            False,
        ),
        ('{"at": "2026-11-25T12:00:00Z"}', '{"at":"2027-01-01T00:00:00Z"}', True),
        ('{"at": "2026-11-25T12:00:00Z"}', '{"at":"2027-01-01"}', False),
        ('{"at": "2026-11-25T12:00:00Z"}', '{"at":null}', False),
        ('["rk_live_3iS8wW2x_…"]', '["rk_test_AAAAAAAA_…"]', False),
        ('{"key_hint": "...bbAe"}', '{"key_hint":"...cccc"}', True),
        ('{"used": 1}', '{"used":2}', False),
        ('{"used": 1}', '{"used":true}', False),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', False),
        ('{"a": 1}', '{"a":1,"b":2}', False),
        ('{"url": "https://api.reachscore.co/docs"}', '{"url":"http://127.0.0.1/docs"}', True),
        ('{"fix": "Use a key."}', '{"fix":"Use another key."}', False),
        ("ratelimit-remaining: 97", "ratelimit-remaining: 12", True),
        ("ratelimit-limit: 120", "ratelimit-limit: 60", False),
        ("200", "201", False),
        ("200", "200\nand more", False),
    ],
)
def test_only_what_differs_from_run_to_run_may_differ(shown, printed, is_same):
    kind = "json response" if shown.startswith(("{", "[")) else "text output"
    page = list(samples(f"```bash\n{printed}\n```\n\n```{kind}\n{shown}\n```\n"))
    reader = Reader("http://127.0.0.1", "rk_live_1", "rk_test_1")
    if is_same:
        assert reader.follow(page, "bash", lambda code, _: code) == 1
    else:
        with pytest.raises(Mismatch):
            reader.follow(page, "bash", lambda code, _: code)
