"""How far a long command is, shown to whoever sits at a terminal."""

import time
from typing import Final

from django.core.management.base import OutputWrapper

WIDTH: Final = 30
SECONDS_BETWEEN: Final = 0.1


class ProgressBar:
    """A line that is drawn again and again; nothing at all where `stream` is no terminal."""

    def __init__(self, stream: OutputWrapper, *, total: int) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._total = max(total, 1)
        self._drawn_at = 0.0
        self._is_there = False
        self.done = 0

    def step(self) -> None:
        """Count one more; the line follows a few times a second."""
        self.done += 1
        if self._shown and time.monotonic() > self._drawn_at + SECONDS_BETWEEN:
            self._drawn_at, self._is_there = time.monotonic(), True
            filled = min(self.done * WIDTH // self._total, WIDTH)
            bar = "#" * filled + "." * (WIDTH - filled)
            self._write(f"\r[{bar}] {self.done:,} of {self._total:,}")

    def hide(self) -> None:
        """Clear the line, so that something else can be written; the next step draws it again."""
        if self._is_there:
            self._is_there = False
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        self._stream.write(text, style_func=str, ending="")
        self._stream.flush()
