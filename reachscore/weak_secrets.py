"""Secrets that anybody could guess, or that serve two purposes: production takes neither."""

import base64
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Final

from django.core.exceptions import ImproperlyConfigured

LEAST_SECRET_KEY_CHARACTERS: Final = 50
# Fewer different bytes, or steps from one byte to the next, than 32 random bytes, or 50 random
# digits, ever have.
LEAST_VARIETY: Final = 8
# In the examples, tutorials and templates from which secrets are copied unchanged.
_KNOWN: Final = (
    b"changeme",
    b"insecure",
    b"password",
    b"passw0rd",
    b"secret",
    b"example",
    b"replace",
)


def refuse_weak_secrets(secret_key: str, **numbered: Mapping[int, bytes]) -> None:
    """Raises ImproperlyConfigured that names the variables with a weak or a shared secret.

    Never shows a value. `numbered` holds lists of keys under the names of their variables.
    """
    secrets = [("SECRET_KEY", secret_key.encode())]
    secrets += [(name, key) for name, keys in numbered.items() for key in keys.values()]
    weak = {name for name, secret in secrets if is_weak(secret)}
    if len(secret_key) < LEAST_SECRET_KEY_CHARACTERS:
        weak.add("SECRET_KEY")
    shared = {
        name
        for (a, one), (b, other) in combinations(secrets, 2)
        if _same(one, other)
        for name in (a, b)
    }
    said = []
    if weak:
        said.append(f"A secret in {_listed(weak, secrets)} is too short, or easy to guess.")
    if shared:
        said.append(f"One secret is used twice in {_listed(shared, secrets)}; each needs its own.")
    if said:
        raise ImproperlyConfigured(" ".join([*said, "README.md says how to make them."]))


def is_weak(secret: bytes) -> bool:
    """Tell whether `secret` is made of few characters, of a piece repeated, or of known words."""
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    if min(len(set(secret)), len(steps)) < LEAST_VARIETY:
        return True
    if any(secret[size:] == secret[:-size] for size in range(1, len(secret) // 2 + 1)):
        return True
    # A numbered key may hold the word either as base64url or as what that stands for.
    return any(word in _letters(form) for form in _forms(secret) for word in _KNOWN)


def _forms(secret: bytes) -> tuple[bytes, bytes]:
    return secret, base64.urlsafe_b64encode(secret).rstrip(b"=")


def _letters(text: bytes) -> bytes:
    return text.lower().replace(b"-", b"").replace(b"_", b"").replace(b" ", b"")


def _same(one: bytes, other: bytes) -> bool:
    """Tell whether one stands within the other, as bytes or as the text of an environment."""
    return any(a in b or b in a for a in _forms(one) for b in _forms(other))


def _listed(names: set[str], secrets: Sequence[tuple[str, bytes]]) -> str:
    in_order = dict.fromkeys(name for name, _ in secrets if name in names)
    return " and ".join(in_order)
