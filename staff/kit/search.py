"""Search for words as people type them: `Zoe` finds `Zoë`. All words must match."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection
from django.db.models import Func, Q, TextField, Value

MOST_WORDS: Final = 10


class Folded(Func):
    """Texts joined by spaces, in NFKD, without combining marks, in lower case. A migration makes
    `search_fold`, which the triggers of the columns `search_text` call, too."""

    function = "search_fold"
    arg_joiner = " || ' ' || "
    output_field = TextField()


def holds(words: str, column: str = "search_text") -> Q:
    """Return the condition that the folded column holds each word anywhere."""
    found = Q()
    for word in words.split()[:MOST_WORDS]:
        found &= Q((f"{column}__contains", Folded(Value(word))))
    return found


@contextmanager
def planned_by_values() -> Iterator[None]:
    """Let PostgreSQL plan each statement for its values: no prepared statements."""
    # A prepared one has one plan for all words: for a word that no key has, it read a million rows
    # (8 s) and not the index (10 ms).
    connection.ensure_connection()
    raw = connection.connection
    threshold, raw.prepare_threshold = raw.prepare_threshold, None
    try:
        yield
    finally:
        raw.prepare_threshold = threshold
