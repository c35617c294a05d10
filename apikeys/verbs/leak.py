"""Act on secrets that were found in public: revoke their keys, or end them, and tell the owner."""

import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.models import OnLeak
from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.revoke import would_revoke
from apikeys.verbs.secrets import end_secret
from audit.actor import Actor
from audit.models import AuditEvent, AuditLog
from web.redaction import holds_key
from web.telemetry.metrics import KEYS_REVOKED

LEAKED: Final = "api_key.leaked"
# How long ago a thief may have rotated a stolen key by itself and still loses it. A secret that was
# rotated out before that ends alone, so that an old find stops no production.
ROTATED_BY_THIEF: Final = timedelta(days=30)
# What was done, in the event and the notice.
REVOKED, ENDED, NOTIFIED, DEAD = "key_revoked", "secrets_ended", "notified", "already_ended"

_URL: Final = re.compile("https://[!-~]{1,1000}")
_KIND: Final = re.compile("[A-Za-z_]{1,40}")

# The keys whose newest secret is one of the leaked ones, or was issued with one, directly or
# onwards: by presenting it, or by presenting the first secret of a key that was made with it. Each
# step took place since the given time: a step that is older ends the walk.
FIND_DYING: Final = """
    WITH RECURSIVE known (api_key_id, secret_id) AS (
        SELECT s.api_key_id, s.id
          FROM apikeys_keysecret s
         WHERE s.api_key_id = ANY(%(keys)s) AND s.ended_at IS NULL AND s.expires_at IS NULL
         UNION
        SELECT known.api_key_id, COALESCE(s.issued_by_id, k.maker_id)
          FROM known
          JOIN apikeys_keysecret s ON s.id = known.secret_id
          JOIN apikeys_apikey k ON k.id = s.api_key_id
         WHERE CASE WHEN s.issued_by_id IS NULL THEN k.created_at ELSE s.created_at END > %(since)s
    )
    SELECT known.api_key_id
      FROM known
      JOIN apikeys_keysecret leaked
        ON leaked.id = known.secret_id AND leaked.api_key_id = known.api_key_id
     WHERE leaked.id = ANY(%(leaked)s)
"""


class Place(NamedTuple):
    """Where a key was found, as the finder says: hostile text. `kind` is such as `commit`."""

    url: str = ""
    kind: str = ""

    def cleaned(self) -> dict[str, str]:
        """Return what an event may hold of it: no other text than an https URL without a key."""
        texts = {"url": (_URL, self.url), "found_in": (_KIND, self.kind)}
        return {n: t for n, (form, t) in texts.items() if form.fullmatch(t) and not holds_key(t)}


def leaked_secrets(source: str) -> QuerySet[Any]:
    """Return all secrets, for a caller to filter, each with what `act_on_leak` asks of its key.

    `is_known`: this source has reported the key before. `has_made`: it made or rotated other keys.
    """
    key = OuterRef("api_key_id")
    reports = AuditEvent.objects.filter(target_id=key, action=LEAKED, changes__source__1=source)
    made = ApiKey.objects.filter(maker__api_key=key)
    issued = KeySecret.objects.filter(issued_by__api_key=key).exclude(api_key=key)
    return KeySecret.objects.select_related("api_key__organization").annotate(
        is_known=Exists(reports), has_made=Exists(made) | Exists(issued)
    )


def act_on_leak(
    organization_id: str, places: Mapping[int, Place], *, actor: Actor, source: str
) -> None:
    """Revoke the keys, or end the secrets, that were found in public. Idempotent.

    `places` has the ids of secrets of this organization, in any state. The newest secret takes its
    key with it; one that was rotated out ends alone, unless the newest was issued with it
    (FIND_DYING). Keys that a leaked one made live on: the event counts them. A suspended
    organization's keys die, too. With `on_leak` as NOTIFY nothing is revoked, if somebody hears.

    There is an event for what is done, and if nothing is, for the first report by this source.
    """
    reason = f"Reported as leaked: {source}."
    with AuditLog.of(organization_id) as audit:
        secrets = list(leaked_secrets(source).filter(pk__in=places).order_by("api_key_id", "pk"))
        dying = _dying(secrets)
        policy = secrets[0].api_key.organization.on_leak
        is_spared = policy == OnLeak.NOTIFY and audit.is_heard
        if dying and not is_spared:
            ApiKey.objects.filter(pk__in=dying).update(
                revoked_at=timezone.now(), revoked_by=str(actor), revoked_reason=reason
            )
        for _, of_key in groupby(secrets, key=attrgetter("api_key_id")):
            leaked = list(of_key)
            api_key = leaked[0].api_key
            live = [secret for secret in leaked if api_key.is_active and secret.is_live]
            if api_key.pk not in dying and not live:
                done = DEAD
            elif is_spared:
                done = NOTIFIED
            else:
                done = REVOKED if api_key.pk in dying else ENDED
            if done in (NOTIFIED, DEAD) and leaked[0].is_known:
                continue
            changes: dict[str, Any] = {"done": done, "source": source}
            changes |= places[leaked[0].pk].cleaned()
            changes["secrets"] = [secret.locator for secret in leaked]
            changes |= _progeny(api_key) if leaked[0].has_made else {}
            changes = {name: (None, value) for name, value in changes.items()}
            audit.record(LEAKED, api_key, actor=actor, reason=reason, changes=changes)
            if done == REVOKED:
                audit.record("api_key.revoked", api_key, actor=actor, reason=reason)
            elif done == ENDED:
                for secret in live:
                    end_secret(secret)
                changes = {"ended_secrets": ([secret.locator for secret in live], None)}
                ended = "api_key.secrets_ended"
                audit.record(ended, api_key, actor=actor, reason=reason, changes=changes)
    KEYS_REVOKED.inc(0 if is_spared else len(dying))


def _dying(leaked: list[KeySecret]) -> set[str]:
    """Return the ids of the active keys that are in the hands of a finder of these secrets."""
    keys = {secret.api_key_id for secret in leaked if secret.api_key.is_active}
    since = timezone.now() - ROTATED_BY_THIEF
    ids = [secret.pk for secret in leaked]
    with connection.cursor() as cursor:
        cursor.execute(FIND_DYING, {"keys": list(keys), "leaked": ids, "since": since})
        return {key_id for (key_id,) in cursor.fetchall()}


def _progeny(api_key: ApiKey) -> dict[str, Any]:
    """Return what a cascade would end beside the key, and the request for it; {} for nothing."""
    cascade = would_revoke(api_key)
    if not (cascade.keys_revoked or cascade.secrets_ended):
        return {}
    return {
        "keys_made": cascade.keys_revoked,
        "secrets_issued": cascade.secrets_ended,
        "cascade": f"DELETE /v1/keys/{api_key.pk}?cascade=true",
    }
