"""Kill what was found in public: the keys and secrets of which somebody sent us the plaintext."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final

from django.db import InterfaceError, OperationalError, connection, transaction

from apikeys.verbs.leak import Place, act_on_leak, leaked_secrets
from audit.actor import Actor
from web.context import current
from web.database.stale import once_more

AT_ONCE: Final = 1000  # Digests that one query looks up.
# For an organization's lock, as in a request: `deliver` has other reports to work off.
WAIT_BRIEFLY: Final = "SET LOCAL lock_timeout = '2s'"


def kill(
    digests: Collection[bytes],
    *,
    actor: Actor,
    source: str,
    url: str = "",
    places: Mapping[bytes, Place] | None = None,
) -> set[bytes]:
    """Act on the secrets with these digests, and return the digests that we know, in any state.

    `url` is where they were found, or `places` says it of each. Each organization has a transaction
    of its own. If one fails, the others are still tried.

    Raises OperationalError or InterfaceError if one failed. To repeat the call is safe.
    """
    known: set[bytes] = set()
    found: defaultdict[str, dict[int, Place]] = defaultdict(dict)
    left = iter(digests)
    while batch := list(islice(left, AT_ONCE)):
        for secret in leaked_secrets(source).filter(digest__in=batch):
            digest = bytes(secret.digest)
            known.add(digest)
            if secret.api_key.is_active or not secret.is_known:  # Else there is nothing to do.
                place = (places or {}).get(digest, Place(url))
                found[secret.api_key.organization_id][secret.pk] = place
    fault: OperationalError | InterfaceError | None = None
    for organization_id, secrets in found.items():
        try:
            once_more(_act)(organization_id, secrets, actor=actor, source=source)
        except (OperationalError, InterfaceError) as error:
            fault = error
    if fault is not None:
        raise fault
    return known
