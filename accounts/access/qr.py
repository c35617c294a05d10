"""QR codes as a template can draw them: nothing inline but a path, which the policy allows."""

from dataclasses import dataclass
from typing import Final

import segno

QUIET: Final = 4  # Modules of white around, ISO/IEC 18004.


@dataclass(frozen=True, slots=True)
class QrCode:
    """A square of `size` modules, and the dark ones as the path of an SVG."""

    size: int
    path: str


def draw(text: str) -> QrCode:
    """Return the code that apps read as `text`."""
    rows = [list(row) for row in segno.make_qr(text, error="m").matrix_iter(border=QUIET)]
    dark = (
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, module in enumerate(row) if module
    )
    return QrCode(size=len(rows), path="".join(dark))
