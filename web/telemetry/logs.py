"""Logging: one handler and two formatters, JSON and text, both of which redact keys.

The formatters redact as the last step, when arguments, fields, exception texts and tracebacks have
become text. Code logs fields by `extra={"fields": …}`.
"""

import json
import logging
import logging.config
import re
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from web.context import current
from web.redaction import redact

logger = logging.getLogger("reachscore.uncaught")

# Characters that a terminal or a viewer may take for a line end or a command.
_CONTROLS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# Made once: json.dumps with a default makes an encoder at each call.
_to_json: Final = json.JSONEncoder(default=str).encode


def configure(config: Mapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG. Also log what Python would write to stderr: warnings, tracebacks."""
    logging.config.dictConfig(dict(config))
    logging.captureWarnings(capture=True)
    # Our lines show neither source line nor thread, so do not look them up: "Optimization" in
    # Python's logging HOWTO.
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    sys.excepthook = lambda *args: _log_uncaught(args)
    threading.excepthook = sys.unraisablehook = _log_uncaught


def _log_uncaught(args: Any) -> None:
    """Log an exception. `args` begins with its class, the exception or None, its traceback."""
    kind, error, trace = args[:3]
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical("Uncaught %s", kind.__name__, exc_info=(kind, error or kind(), trace))


class OneHandler(logging.StreamHandler[Any]):
    """Writes to stderr. Reports a record that cannot be formatted without its content."""

    def write(self, line: str) -> None:
        """Write a line as `emit` does. `line` must be redacted."""
        with self.lock:  # type: ignore[union-attr]
            self.stream.write(f"{line}\n")
            self.flush()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report a lost record. The standard method would print its arguments unredacted."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) or self.stream.closed:
            return  # The stream is gone.
        self.stream.write(f"A record of {record.name} was lost: {type(error).__name__}.\n")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON in ASCII; client input cannot break the line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, "fields", {}))
        if trace := _trace(self, record):
            fields["exception"] = trace
        message = record.getMessage()
        return _json_line(record.created, record.levelname, record.name, message, fields)


def _json_line(at: float, level: str, name: str, message: str, fields: Mapping[str, object]) -> str:
    line = {
        "time": _time(at),
        "level": level,
        "logger": name,
        "message": message,
        "request_id": current().request_id or None,
        **fields,
    }
    # Redact the JSON text, because fields may nest. JSON escapes no character of a key.
    return redact(_to_json(line))


def log_quickly(logger: logging.Logger, message: str, fields: Mapping[str, object]) -> None:
    """Log as `logger.info` does, without a record if our handler alone would get it, as JSON."""
    # For the line of each request: with a record it takes twice as long.
    handler, *others = logging.root.handlers
    alone = not others and not logger.handlers and logger.isEnabledFor(logging.INFO)
    if alone and isinstance(handler, OneHandler) and isinstance(handler.formatter, JsonFormatter):
        handler.write(_json_line(time.time(), "INFO", logger.name, message, fields))
    else:
        logger.info(message, extra={"fields": fields})


class TextFormatter(logging.Formatter):
    """Formats a record as readable text. Further lines are indented, so none can be forged."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record.created), record.levelname, f"{record.name}:", record.getMessage()]
        fields = getattr(record, "fields", {})
        parts += [f"{name}={value}" for name, value in fields.items() if value is not None]
        lines = [" ".join(parts)]
        if trace := _trace(self, record):
            lines += trace.split("\n")
        safe = (_CONTROLS.sub(lambda c: f"\\x{ord(c[0]):02x}", redact(line)) for line in lines)
        return "\n    ".join(safe)


def _time(created: float) -> str:
    second = int(created)
    return f"{_second(second)}.{int((created - second) * 1000):03}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return traceback and stack, ignoring text that another formatter may have cached."""
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
