"""Production's check for secrets that are guessable, or used for two purposes."""

from collections.abc import Mapping
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from reachscore.environment import PRODUCTION_ONLY

LEAST_SECRET_KEY_CHARACTERS: Final = 50
# Words in examples, tutorials and templates, from which people copy secrets unchanged.
KNOWN: Final = ("changeme", "insecure", "password", "secret", "example", "replace")


def refuse_weak_secrets(environ: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured, naming the variables, if a secret is weak or used twice."""
    # Form and length were checked by the readers, except for the length of SECRET_KEY.
    secrets = [("SECRET_KEY", environ["SECRET_KEY"])]
    for name in (n for n in PRODUCTION_ONLY if n != "SECRET_KEY"):  # It may hold commas.
        entries = environ.get(name, "").split(",")
        secrets += [(name, entry.rpartition(":")[2].strip().rstrip("=")) for entry in entries]
    weak = {n for n, secret in secrets if any(word in secret.lower() for word in KNOWN)}
    if len(environ["SECRET_KEY"]) < LEAST_SECRET_KEY_CHARACTERS:
        weak.add("SECRET_KEY")
    texts = [secret for _, secret in secrets if secret]
    shared = {name for name, secret in secrets if texts.count(secret) > 1}
    said = []
    if weak:
        said.append(f"A secret in {' and '.join(sorted(weak))} is too short, or easy to guess.")
    if shared:
        names = " and ".join(sorted(shared))
        said.append(f"One secret is used twice in {names}; each needs its own.")
    if said:
        raise ImproperlyConfigured(" ".join([*said, "README.md says how to make them."]))
