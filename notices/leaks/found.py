"""Kill what was found in public: the keys and secrets of which somebody sent us the plaintext."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from apikeys.models import KeySecret
from apikeys.verbs.leak import LEAKED, Place, act_on_leak
from audit.actor import Actor
from audit.models import AuditEvent
from web.context import current
from web.database.stale import once_more

AT_ONCE: Final = 1000  # Digests that one query looks up.
# For an organization's lock, as in a request: `deliver` has other reports to work off.
WAIT_BRIEFLY: Final = "SET LOCAL lock_timeout = '2s'"


def kill(places: Mapping[bytes, Place], *, actor: Actor, source: str) -> set[bytes]:
    """Act on the secrets with these digests, and return the digests that we know, in any state.

    `places` says of each digest where it was found. Each organization has a transaction of its own.
    If one fails, the others are still tried.

    Raises OperationalError or InterfaceError if one failed. To repeat the call is safe.
    """
    known: set[bytes] = set()
    found: defaultdict[str, dict[int, Place]] = defaultdict(dict)
    left = iter(places)
    reports = AuditEvent.objects.filter(
        target_id=OuterRef("api_key_id"), action=LEAKED, changes__source__1=source
    )
    rows: QuerySet[Any] = KeySecret.objects.select_related("api_key")
    while batch := list(islice(left, AT_ONCE)):
        for secret in rows.filter(digest__in=batch).annotate(is_known=Exists(reports)):
            digest = bytes(secret.digest)
            known.add(digest)
            if secret.api_key.is_active or not secret.is_known:  # Else it is dead, and recorded.
                found[secret.api_key.organization_id][secret.pk] = places[digest]
    fault: OperationalError | InterfaceError | None = None
    for organization_id, secrets in found.items():
        try:
            once_more(_act)(organization_id, secrets, actor=actor, source=source)
        except (OperationalError, InterfaceError) as error:
            fault = error
    if fault is not None:
        raise fault
    return known


def _act(organization_id: str, places: Mapping[int, Place], *, actor: Actor, source: str) -> None:
    if current().deadline is not None:  # The connections of requests have the time-out already.
        act_on_leak(organization_id, places, actor=actor, source=source)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(WAIT_BRIEFLY)
        act_on_leak(organization_id, places, actor=actor, source=source)
