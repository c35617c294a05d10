"""Before anything is measured: everybody answers the same, and refuses what it should."""

import json
from collections.abc import Iterable
from typing import Final

from bench.load import first_authorization
from bench.rounds import Contender
from bench.variants import OURS

LENGTHS_DIFFER_BY: Final = 0.1  # Some write `", "` between the parts of JSON, some `","`.


def check_answers(contenders: Iterable[Contender]) -> None:
    """Hold everybody's body for the first key in use against ours. Raises RuntimeError."""
    found = {one.name: one.server.ask(first_authorization(one.file)) for one in contenders}
    status, reference = found[OURS]
    expected = json.loads(reference)
    for one in contenders:
        status, body = found[one.name]
        if one.is_refused:
            if status != 401:
                raise RuntimeError(f"{one.name} answers {status}: {body!r}")
            continue
        if status != 200 or json.loads(body) != expected:
            raise RuntimeError(f"{one.name} answers {status} {body!r}, not as ours: {reference!r}")
        if abs(len(body) - len(reference)) > LENGTHS_DIFFER_BY * len(reference):
            raise RuntimeError(f"{one.name} answers {len(body)} bytes, ours {len(reference)}.")
