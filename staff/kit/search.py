"""Searching for words as people type them: `Zoe` finds `Zoë`, and every word must be there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection
from django.db.models import Func, Q, TextField, Value

MOST_WORDS: Final = 10


class Folded(Func):
    """Texts, joined by spaces, in NFKD, without combining marks and in lower case.

    `search_fold` is made by a migration: the triggers that keep the columns `search_text` call it.
    """

    function = "search_fold"
    arg_joiner = " || ' ' || "
    output_field = TextField()


def holds(words: str, column: str = "search_text") -> Q:
    """Return the condition that the folded column holds each of the words, folded, anywhere."""
    found = Q()
    for word in words.split()[:MOST_WORDS]:
        found &= Q((f"{column}__contains", Folded(Value(word))))
    return found


@contextmanager
def planned_by_values() -> Iterator[None]:
    """Let PostgreSQL plan each statement for the values in it.

    What psycopg prepares is planned once for any word: one that no key has was then looked for in a
    million rows (8 s) and not in the index (10 ms).
    """
    connection.ensure_connection()
    raw = connection.connection
    threshold, raw.prepare_threshold = raw.prepare_threshold, None
    try:
        yield
    finally:
        raw.prepare_threshold = threshold
