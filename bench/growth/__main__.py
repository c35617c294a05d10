"""The runner: `python -m bench.growth [PART…]`, by default all of them."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.growth import audit, brin, calls, month, sizes, speeds, steady, straight
from bench.machine import LOCAL, environment, moment, require_tools, say
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
KEPT: Final = LOCAL / "growth"
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
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in options.parts or PARTS:
        began = time.monotonic()
        section = PARTS[name](options)
        took = f"{(time.monotonic() - began) / 60:.1f} minutes"
        measured = f"`{name}`: measured {moment()}, in {took}; load {os.getloadavg()[2]:.0f}."
        (KEPT / f"{name}.md").write_text(f"{section}\n\n{measured}\n")
        say(f"{name} after {took}.")
        write_page()


def write_page() -> None:
    """Put together what was measured, now or earlier."""
    kept = [KEPT / f"{one}.md" for one in PARTS]
    sections = [one.read_text() for one in kept if one.exists()]
    PAGE.write_text("\n".join([TITLE, f"{environment(str(find_programs()[1]))}\n", *sections]))


if __name__ == "__main__":
    main()
