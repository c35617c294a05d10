"""How a log line is written: JSON in production, text in development, never with a key in it.

There is one handler, and it redacts in its formatter: the last thing before the bytes, where
arguments, fields, exception texts and tracebacks have all become text.
"""

import json
import logging
import logging.config
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from web.context import current
from web.redaction import redact

logger = logging.getLogger("reachscore.uncaught")

# Whatever a terminal or a viewer may take for the end of a line, or for an order.
_CONTROLS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# Made once: json.dumps makes an encoder a call where it is given a default.
_to_json: Final = json.JSONEncoder(default=str).encode


def configure(config: Mapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG: also lead into the log what Python writes to stderr by itself."""
    logging.config.dictConfig(dict(config))
    logging.captureWarnings(capture=True)
    # No line says where in the code it was written, nor by which thread: look for neither, as
    # "Optimization" in Python's logging HOWTO has it.
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    sys.excepthook = lambda *args: _log_uncaught(args)
    threading.excepthook = sys.unraisablehook = _log_uncaught


def _log_uncaught(args: Any) -> None:
    """Log what `args` begins with: an exception's class, the exception if any, its traceback."""
    kind, error, trace = args[:3]
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical("Uncaught %s", kind.__name__, exc_info=(kind, error or kind(), trace))


class OneHandler(logging.StreamHandler[Any]):
    """Writes to stderr. A record that cannot be formatted is told of, not shown."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Write what is known to be harmless; logging itself would print the arguments raw."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) or self.stream.closed:
            return  # Nobody reads the stream any more.
        self.stream.write(f"A record of {record.name} was lost: {type(error).__name__}.\n")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: nothing a client sends can end the line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": current().request_id or None,
            **fields_of(record),
        }
        if trace := _trace(self, record):
            line["exception"] = trace
        # Redacted as JSON: fields may nest. No escape of JSON's falls inside a key.
        return redact(_to_json(line))


class TextFormatter(logging.Formatter):
    """A readable line; what follows of a traceback is indented, so that no line can be forged."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), record.levelname, f"{record.name}:", record.getMessage()]
        fields = fields_of(record)
        parts += [f"{name}={value}" for name, value in fields.items() if value is not None]
        lines = [" ".join(parts)]
        if trace := _trace(self, record):
            lines += trace.split("\n")
        return "\n    ".join(_CONTROLS.sub(_visible, redact(line)) for line in lines)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was logged as `extra={"fields": …}`."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return traceback and stack; anew, not as another formatter may have left them."""
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _visible(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"
