"""The first of the WSGI chain: what the HTTP server hands over, cut down to a bounded request.

Works on `environ` alone, before Django, and so before anything parses what a client sent.
"""

import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# The part of CGI (RFC 3875) that servers write themselves, for every request anew.
CGI_NAMES: Final = frozenset(
    {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE"}
    | {"CONTENT_LENGTH", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR"}
)
PREFIXES: Final = frozenset({"HTTP_", "wsgi."})

LONGEST_MEDIA_TYPE: Final = 256
LONGEST_ACCEPT: Final = 512  # Browsers send 150.
_TOKEN: Final = r"[!#$%&'+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 calls it so
# RFC 9110 §8.3.1, without the asterisk of RFC 2231, by which a parameter names an encoding. After
# each part one character says what follows, so matching is linear.
_MEDIA_TYPE: Final = re.compile(
    rf"{_TOKEN}/{_TOKEN}[ \t]*"
    rf'(?:;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*)?)*'
)

MOST_BODY_BYTES: Final = 2**20  # As in deploy/nginx.conf.
UNREAD_SECONDS: Final = 2.0
# A client that stalls holds a thread until it hangs up, so only one at a time can do that to a
# process. Who cannot get the lock that soon has its connection closed.
_draining: Final = threading.Lock()
LOCK_SECONDS: Final = 0.2


def forget_request_names(environment: MutableMapping[str, str]) -> None:
    """Remove the variables that would look like a part of a request, such as HTTP_AUTHORIZATION.

    The server adds the process's environment to every request. A header that was not sent cannot
    be told from a variable of its name.
    """
    for name in _of_request(environment):
        del environment[name]


def _of_request(environ: Mapping[str, Any]) -> Environ:
    return {n: value for n, value in environ.items() if n[:5] in PREFIXES or n in CGI_NAMES}


def bounded(application: Application) -> Application:
    """Wrap `application`: it gets the request alone, and headers that are cheap to parse.

    A body that it leaves unread is read and dropped before its answer goes out: a server that
    closes a connection with unread bytes resets it, and the proxy in front would answer 502.
    """

    def answer(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = _of_request(environ)
        _bound_headers(request)
        length = request.get("CONTENT_LENGTH") or "0"
        if length == "0" and "HTTP_TRANSFER_ENCODING" not in request:
            return application(request, start_response)
        body = request["wsgi.input"] = _Body(request["wsgi.input"])
        started: list[Any] = []
        content = application(request, lambda *given: started.extend(given))
        status, headers, *rest = started
        is_drained = body.drain(declared=int(length))
        if not is_drained and environ.get("SERVER_SOFTWARE") == "Granian":  # runserver forbids it.
            headers = [*headers, ("Connection", "close")]
        start_response(status, headers, *rest)
        return _Answer(content, body)

    return answer


def _bound_headers(request: Environ) -> None:
    """Take away what Python's parsers need quadratic time for; no client needs any of it."""
    media_type = request.get("CONTENT_TYPE")
    if media_type and not (
        len(media_type) <= LONGEST_MEDIA_TYPE and _MEDIA_TYPE.fullmatch(media_type)
    ):
        request["CONTENT_TYPE"] = ""
    if len(request.get("HTTP_ACCEPT", "")) > LONGEST_ACCEPT:
        request["HTTP_ACCEPT"] = "*/*"
    cookies = request.get("HTTP_COOKIE", "")
    if "\\" in cookies:  # None of ours holds an escape.
        pairs = [pair for pair in cookies.split(";") if "\\" not in pair]
        request["HTTP_COOKIE"] = ";".join(pairs)


class _Body(io.IOBase):
    """A request's body that knows how much of it was read. All of IOBase reads by `read`."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.bytes_read = 0
        self.reader: threading.Thread | None = None

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        data: bytes = self.stream.read(size)
        self.bytes_read += len(data)
        return data

    def drain(self, *, declared: int) -> bool:
        """Drop what was not read, within limits. Return False if some may be left.

        `declared` is the body's length, or 0 if it is sent in chunks.
        """
        left = (declared or MOST_BODY_BYTES + 1) - self.bytes_read
        if left <= 0:
            return True
        if declared > MOST_BODY_BYTES or not _draining.acquire(timeout=LOCK_SECONDS):
            return False
        dropped: list[int] = []
        # In a thread of its own, because the server's `read` has no time-out.
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
    """What the application answers; at its end it waits for the reader of the body.

    By then the client has the whole answer. granian would wait for that reader itself, but with the
    interpreter's lock in its hands, and so stop the process.
    """

    def __init__(self, content: Iterable[bytes], body: _Body) -> None:
        self.content = content
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.content)

    def close(self) -> None:
        """Close the application's answer first: its signals need not wait."""
        if close := getattr(self.content, "close", None):
            close()
        if self.body.reader:
            self.body.reader.join()
