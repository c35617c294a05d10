"""Headers that code deep inside a request puts on its answer, whichever answer that will be."""

from contextvars import ContextVar

_headers: ContextVar[dict[str, str] | None] = ContextVar("response_headers", default=None)


def begin_response_headers() -> dict[str, str]:
    """Forget what an earlier request left; return what this one will collect."""
    headers: dict[str, str] = {}
    _headers.set(headers)
    return headers


def drop_response_header(name: str) -> None:
    """Take back a header that was added for every answer."""
    (_headers.get() or {}).pop(name, None)


def add_response_header(name: str, value: str) -> None:
    """Put a header on every answer to the request at hand, refusals and bugs included.

    `value` must be fit for a header: nothing that a client wrote. Outside of a request it is lost.
    """
    headers = _headers.get()
    if headers is not None:
        headers[name] = value
