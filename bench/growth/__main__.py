"""The runner: `python -m bench.growth [PART…]`, by default all of them."""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.growth import audit, brin, calls, month, sizes, speeds, steady, straight
from bench.machine import environment, moment, require_tools, say
from reachscore.devdb.cluster import find_programs

PARTS: Final[dict[str, Callable[[argparse.Namespace], str]]] = {
    "speeds": speeds.measure,
    "calls": calls.measure,
    "straight": straight.measure,
    "steady": steady.measure,
    "sizes": sizes.measure,
    "month": month.measure,
    "brin": brin.measure,
    "audit": audit.measure,
}
PAGE: Final = Path(__file__).parent.with_name("GROWTH.md")
TITLE: Final = """# Growth

`make bench-growth` measures ours alone, on more and more of everything; all of it takes hours. With
`PARTS="calls straight"` it measures only these parts, and leaves the others as they were.
docs/scale.md says what follows.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=600, help="of each half of `steady`")
    parser.add_argument("--events", type=int, default=10_000_000, help="that `audit` verifies")
    options = parser.parse_args()
    require_tools()
    # Go through every `finally` on the way out, as for Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    for name in options.parts or PARTS:
        began = time.monotonic()
        section = PARTS[name](options)
        took = f"{(time.monotonic() - began) / 60:.1f} minutes"
        measured = f"`{name}`: measured {moment()}, in {took}; load {os.getloadavg()[2]:.0f}."
        write_page(name, f"{section.strip()}\n\n{measured}\n")
        say(f"{name} after {took}.")


def write_page(name: str, section: str) -> None:
    """Put a section in place of what the page had of this part. The others stay."""
    _, *found = re.split(r"^<!-- (\w+) -->\n", PAGE.read_text(), flags=re.MULTILINE)
    sections = dict(zip(found[::2], found[1::2], strict=True)) | {name: section}
    parts = [f"<!-- {one} -->\n{sections[one].strip()}\n" for one in PARTS if one in sections]
    PAGE.write_text("\n".join([TITLE, f"{environment(str(find_programs()[1]))}\n", *parts]))


if __name__ == "__main__":
    main()
