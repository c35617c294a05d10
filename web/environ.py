"""WSGI middleware in front of all: bounds headers before anything parses them, drains bodies."""

import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# The variables of CGI (RFC 3875) that servers set for every request.
CGI_NAMES: Final = frozenset(
    {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE"}
    | {"CONTENT_LENGTH", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR"}
)
PREFIXES: Final = frozenset({"HTTP_", "wsgi."})

LONGEST_MEDIA_TYPE: Final = 256
LONGEST_ACCEPT: Final = 512  # Browsers send 150.
ANYTHING: Final = "*/*"
_TOKEN: Final = r"[!#$%&'+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 calls it so
# RFC 9110 §8.3.1, without the asterisk by which RFC 2231 marks an encoded parameter. One character
# decides what follows each part, so matching is linear.
_MEDIA_TYPE: Final = re.compile(
    rf"{_TOKEN}/{_TOKEN}[ \t]*"
    rf'(?:;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*)?)*'
)
# Django decodes the query, too, in the charset of the Content-Type header: some charsets make it
# raise, others would hide a key in the URL. `web.input.body` reads the parameter by its new name.
_CHARSET: Final = re.compile(r";[ \t]*charset=", re.ASCII | re.IGNORECASE)
DECLARED_CHARSET: Final = "declared-charset"

MOST_BODY_BYTES: Final = 2**20  # Of pages, as in deploy/nginx.conf; the API: MOST_API_BYTES.
# Scanners report leaked keys in batches. deploy/nginx.conf repeats path and number.
REPORTS_PATH: Final = "/v1/leak_reports/"
MOST_REPORT_BYTES: Final = 10 * 2**20
UNREAD_SECONDS: Final = 2.0
# A stalling client blocks a thread until it hangs up, so each process drains one body at a time. If
# the lock is not free within LOCK_SECONDS, the connection is closed instead.
_draining: Final = threading.Lock()
LOCK_SECONDS: Final = 0.2


def forget_request_names(environment: MutableMapping[str, str]) -> None:
    """Remove variables such as HTTP_X: the server copies them into `environ`, as a header X."""
    for name in _of_request(environment):
        del environment[name]


def cleaned(environ: Mapping[str, Any]) -> Environ:
    """Return a copy with the request's own variables only, and with bounded headers.

    Drops header values for which Python's parsers take quadratic time, or fail. No client needs
    them.
    """
    request = _of_request(environ)
    if media_type := request.get("CONTENT_TYPE"):
        is_plain = len(media_type) <= LONGEST_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(media_type)
        renamed = _CHARSET.sub(f"; {DECLARED_CHARSET}=", media_type)
        request["CONTENT_TYPE"] = renamed if is_plain else ""
    if length := request.get("CONTENT_LENGTH"):  # Python reads no number of 4,301 digits.
        request["CONTENT_LENGTH"] = length.lstrip("0") or "0"
    accept = request.get("HTTP_ACCEPT", ANYTHING)
    # White space and commas alone are a missing header, which DRF would call not acceptable.
    if len(accept) > LONGEST_ACCEPT or not accept.strip(" \t,"):
        request["HTTP_ACCEPT"] = ANYTHING
    cookies = request.get("HTTP_COOKIE", "")
    if "\\" in cookies:  # Our cookies have no escapes.
        pairs = [pair for pair in cookies.split(";") if "\\" not in pair]
        request["HTTP_COOKIE"] = ";".join(pairs)
    return request


def _of_request(environ: Mapping[str, Any]) -> Environ:
    return {n: value for n, value in environ.items() if n[:5] in PREFIXES or n in CGI_NAMES}


def bounded(application: Application) -> Application:
    """Wrap `application` so that it gets only the request's own variables, with bounded headers.

    A body that it did not read is drained before the response starts.
    """

    def answer(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = cleaned(environ)
        length = request.get("CONTENT_LENGTH") or "0"
        if length == "0" and "HTTP_TRANSFER_ENCODING" not in request:
            return application(request, start_response)
        is_report = request["PATH_INFO"].startswith(REPORTS_PATH)
        most = MOST_REPORT_BYTES if is_report else MOST_BODY_BYTES
        body = request["wsgi.input"] = _Body(request["wsgi.input"], most)
        started: list[Any] = []
        content = application(request, lambda *given: started.extend(given))
        status, headers, *rest = started
        # If a server closes a connection with unread bytes, TCP resets it, and nginx answers 502.
        is_drained = body.drain(declared=int(length))
        if not is_drained and environ.get("SERVER_SOFTWARE") == "Granian":  # runserver forbids it.
            headers = [*headers, ("Connection", "close")]
        start_response(status, headers, *rest)
        return _Answer(content, body)

    return answer


class _Body(io.IOBase):
    """A request body that counts the bytes read. The other methods of IOBase call `read`."""

    def __init__(self, stream: Any, most: int) -> None:
        self.stream, self.most, self.bytes_read = stream, most, 0
        self.reader: threading.Thread | None = None

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(size)
        self.bytes_read += len(data)
        return data

    def drain(self, *, declared: int) -> bool:
        """Read and drop the rest, within limits. Return False if bytes may be left.

        `declared` is the Content-Length, or 0 for a chunked body.
        """
        left = (declared or self.most + 1) - self.bytes_read
        if left <= 0:
            return True
        if declared > self.most or not _draining.acquire(timeout=LOCK_SECONDS):
            return False
        dropped: list[int] = []
        # In its own thread, because the server's `read` has no time-out.
        self.reader = threading.Thread(target=self._drop, args=(left, dropped), daemon=True)
        self.reader.start()
        self.reader.join(UNREAD_SECONDS)
        return bool(dropped) and (declared > 0 or dropped[0] < left)

    def _drop(self, size: int, dropped: list[int]) -> None:
        try:
            dropped.append(len(self.stream.read(size)))
        finally:
            _draining.release()


class _Answer:
    """The application's response. `close` joins the thread that drains the body.

    By then the client has the whole response. Without the join, granian would wait for the
    thread while holding the GIL, which stops the process.
    """

    def __init__(self, content: Iterable[bytes], body: _Body) -> None:
        self.content, self.body = content, body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.content)

    def close(self) -> None:
        """Close the application's response, whose signals need not wait, then join the thread."""
        if close := getattr(self.content, "close", None):
            close()
        if self.body.reader:
            self.body.reader.join()
