"""Captures the log: what the service's own handler writes, in JSON or as text."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from web.telemetry.logs import JsonFormatter, OneHandler, TextFormatter
from web.telemetry.security_log import failed_authentications


class Captured(io.StringIO):
    """The stream that replaces stderr."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def records(self, logger: str = "") -> list[dict[str, Any]]:
        """Return the JSON lines of one logger, or of all."""
        read = [json.loads(line) for line in self.lines]
        return [record for record in read if record["logger"] == logger or not logger]


def the_handler() -> OneHandler:
    (handler,) = [h for h in logging.getLogger().handlers if isinstance(h, OneHandler)]
    return handler


@contextmanager
def captured_logs(
    formatter: type[JsonFormatter | TextFormatter] = JsonFormatter,
) -> Iterator[Captured]:
    """Point the one handler at a stream of the test's."""
    failed_authentications.flush()  # Counts of earlier tests must not be written in this one.
    handler = the_handler()
    stream = Captured()
    before = handler.setStream(stream), handler.formatter
    handler.setFormatter(formatter())
    everyone, logging.root.handlers = logging.root.handlers, [handler]  # As in production.
    try:
        yield stream
    finally:
        logging.root.handlers = everyone
        handler.setStream(before[0])
        handler.setFormatter(before[1])
