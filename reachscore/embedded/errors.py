"""The one error of the embedded PostgreSQL."""


class EmbeddedPostgresError(Exception):
    """The server cannot be had; the sentence says what was tried and what to do about it."""
