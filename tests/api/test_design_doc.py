"""The places that docs/design.md names for rules exist."""

import re
from pathlib import Path

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
