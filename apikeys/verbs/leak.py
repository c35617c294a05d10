"""Act on secrets that were found in public: revoke their keys, or end them, and tell the owner."""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from django.db import connection
from django.utils import timezone

from accounts.models import OnLeak
from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.revoke import would_revoke
from apikeys.verbs.secrets import end_secret
from audit.actor import Actor
from audit.models import AuditLog
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

# Of each key: if its newest secret is one of its leaked ones or was issued with one, directly or
# onwards; if it made or rotated others; which secrets this source has reported. A secret is issued
# with the one that was presented for it, or for its key. Each step took place since the given time:
# one that is older ends the walk. Not by the ORM, which takes longer to compose than it to run.
FIND_FACTS: Final = """
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
    SELECT k.id,
           EXISTS (SELECT 1
                     FROM known
                     JOIN apikeys_keysecret s USING (api_key_id)
                    WHERE k.id = api_key_id AND s.id = secret_id AND s.id = ANY(%(leaked)s)),
           EXISTS (SELECT 1
                     FROM apikeys_keysecret s
                     LEFT JOIN apikeys_apikey made ON made.maker_id = s.id
                     LEFT JOIN apikeys_keysecret issued
                       ON issued.issued_by_id = s.id AND issued.api_key_id <> k.id
                    WHERE s.api_key_id = k.id
                      AND (made.id IS NOT NULL OR issued.id IS NOT NULL)),
           ARRAY (SELECT jsonb_array_elements_text(e.changes #> '{secrets,1}')
                    FROM audit_auditevent e
                   WHERE e.target_id = k.id AND e.action = %(action)s
                     AND e.changes #>> '{source,1}' = %(source)s)
      FROM apikeys_apikey k
     WHERE k.id = ANY(%(keys)s)
"""


class Place(NamedTuple):
    """Where a key was found, as the finder says: hostile text. `kind` is such as `commit`."""

    url: str = ""
    kind: str = ""

    def cleaned(self) -> dict[str, str]:
        """Return what an event may hold of it: no other text than an https URL without a key."""
        texts = {"url": (_URL, self.url), "found_in": (_KIND, self.kind)}
        return {n: t for n, (form, t) in texts.items() if form.fullmatch(t) and not holds_key(t)}


def act_on_leak(
    organization_id: str, places: Mapping[int, Place], *, actor: Actor, source: str
) -> None:
    """Revoke the keys, or end the secrets, that were found in public. Idempotent.

    `places` has the ids of secrets of this organization, in any state. The newest secret takes its
    key with it; one that was rotated out ends alone, unless the newest was issued with it
    (FIND_FACTS). Keys that a leaked one made live on: the event counts them. A suspended
    organization's keys die, too. With `on_leak` as NOTIFY nothing is revoked, if somebody hears.

    There is an event for what is done, and if nothing is, for the first report by this source: of a
    key that is spared, the first of each secret.
    """
    reason = f"Reported as leaked: {source}."
    with AuditLog.of(organization_id) as audit:
        found = KeySecret.objects.select_related("api_key__organization").filter(pk__in=places)
        secrets = list(found.order_by("api_key_id", "pk"))
        is_in_hands, has_made, reported = _facts(secrets, source)
        active = {secret.api_key_id for secret in secrets if secret.api_key.is_active}
        dying = active & is_in_hands
        is_spared = audit.is_heard and secrets[0].api_key.organization.on_leak == OnLeak.NOTIFY
        if dying and not is_spared:
            ApiKey.objects.filter(pk__in=dying).update(
                revoked_at=timezone.now(), revoked_by=str(actor), revoked_reason=reason
            )
        for key_id, of_key in groupby(secrets, key=attrgetter("api_key_id")):
            leaked = list(of_key)
            api_key = leaked[0].api_key
            live = [secret for secret in leaked if key_id in active and secret.is_live]
            if key_id not in dying and not live:
                done = DEAD
            elif is_spared:
                done = NOTIFIED
            else:
                done = REVOKED if key_id in dying else ENDED
            locators = [secret.locator for secret in leaked]
            known = reported[key_id]
            # Of a spared key each secret is told of: one that leaks after a rotation is news.
            if (done == DEAD and known) or (done == NOTIFIED and known.issuperset(locators)):
                continue
            said: dict[str, Any] = {"done": done, "source": source}
            said |= {**places[leaked[0].pk].cleaned(), "secrets": locators}
            said |= _progeny(api_key) if key_id in has_made else {}
            record = partial(audit.record, target=api_key, actor=actor, reason=reason)
            record(LEAKED, changes={name: (None, value) for name, value in said.items()})
            if done == REVOKED:
                record("api_key.revoked")
            elif done == ENDED:
                for secret in live:
                    end_secret(secret)
                ended = [secret.locator for secret in live]
                record("api_key.secrets_ended", changes={"ended_secrets": (ended, None)})
    KEYS_REVOKED.inc(0 if is_spared else len(dying))


def _facts(leaked: list[KeySecret], source: str) -> tuple[set[str], set[str], dict[str, set[str]]]:
    """Return the facts of FIND_FACTS: ids of keys for two, and locators by key for the third."""
    parameters: dict[str, Any] = {
        "keys": list({secret.api_key_id for secret in leaked}),
        "leaked": [secret.pk for secret in leaked],
        "since": timezone.now() - ROTATED_BY_THIEF,
        "action": LEAKED,
        "source": source,
    }
    with connection.cursor() as cursor:
        cursor.execute(FIND_FACTS, parameters)
        rows = cursor.fetchall()
    is_in_hands, has_made = ({row[0] for row in rows if row[column]} for column in (1, 2))
    return is_in_hands, has_made, {row[0]: set(row[3]) for row in rows}


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
