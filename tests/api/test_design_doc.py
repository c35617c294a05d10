"""Tests of the documents: the files and places that they name exist, and plans are as they say."""

import re
from pathlib import Path

from accounts.models.plan import PLANS

ROOT = Path(__file__).resolve().parents[2]


def test_every_place_of_a_rule_in_design_doc_exists():
    section = (ROOT / "docs/design.md").read_text().partition("## Where a rule is decided")[2]
    places = re.findall(r"`([a-z_/]+\.py)`((?:,? `\w+`)+)", section.partition("\n## ")[0])
    assert len(places) > 20
    for path, names in places:
        code = (ROOT / path).read_text()
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^ *(?:class |(?:async )?def )?{name}\b", code, re.MULTILINE), (
                path,
                name,
            )


def test_every_file_that_a_document_names_exists():
    rooms = "web|audit|accounts|apikeys|staff|reachscore"
    folders = f"{rooms}|docs|deploy|bench|tests|bin|templates|static|security|requirements"
    named = re.compile(rf"(?<![\w/.-])(?:{folders})/[\w./@-]*[\w/]")
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests/README.md"]
    paths = {path for document in documents for path in named.findall(document.read_text())}
    assert len(paths) > 50
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_table_of_plans_in_the_guide_has_every_plan_and_its_limits():
    rows = re.findall(r"^\| (.+) \|$", (ROOT / "docs/guides/limits.md").read_text(), re.MULTILINE)
    documented = [row.replace(",", "").split(" | ") for row in rows]
    for plan in PLANS:
        limits = [plan["requests_per_minute"], plan["tests_limit"], plan["domains_limit"]]
        shown = ["no limit" if limit is None else str(limit) for limit in limits]
        if not plan["tests_renew"]:
            shown[1] += " once"
        assert [plan["slug"], *shown] in documented
