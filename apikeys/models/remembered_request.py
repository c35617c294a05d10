"""Creations that may be sent again: what is remembered, and how they are answered again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, models, transaction
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from accounts.models import Actor, AuditLog
from apikeys.models.api_key import ApiKey
from apikeys.models.key_secret import KeySecret
from apikeys.refusals import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencySecretUsed,
)

REMEMBERED_FOR: Final = timedelta(hours=24)

# Of two that come at once, one gets the lock and the other does not wait.
TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(%s)"


class RememberedRequest(models.Model):
    """A creation with an Idempotency-Key, and the secret that its last answer showed.

    Holds digests of the token and of the request, and which secret was issued: nothing of it can
    reveal one. A refused request is not remembered.
    """

    caller = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")
    token_digest = models.BinaryField()
    fingerprint = models.BinaryField()
    secret = models.ForeignKey(KeySecret, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["caller", "token_digest"], name="remembered_request_once_per_caller"
            ),
            models.CheckConstraint(
                condition=Exact(Length("token_digest"), 32) & Exact(Length("fingerprint"), 32),
                name="remembered_request_digests_are_sha_256",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.caller_id} at {self.created_at:%Y-%m-%dT%H:%M:%SZ}"

    @classmethod
    def too_old(cls, now: datetime) -> QuerySet[RememberedRequest]:
        """Return the requests that can no longer be retried at `now`."""
        return cls.objects.filter(created_at__lte=now - REMEMBERED_FOR)

    def issue_again(self, wanted: ApiKey, *, actor: Actor, inherit: Collection[str]) -> str:
        """Put a fresh secret in the place of the one issued then, and return its plaintext.

        Everything is checked as for a new key. Raises as `ApiKey.issue`; ExceedsCaller if the key
        has come to reach further than the acting one; IdempotencySecretUsed if the secret was used
        or has been rotated out or ended.
        """
        with AuditLog.of(wanted.organization_id) as audit:
            acting = wanted.check_new(actor=actor, inherit=inherit, but=self.secret.api_key_id)
            # The lock orders this and the first use: the second finds what the first did.
            old = KeySecret.objects.select_for_update(no_key=True).get(pk=self.secret_id)
            api_key = ApiKey.objects.get(pk=old.api_key_id)
            if acting is not None:
                acting.require_within(api_key)
            is_newest = old.ended_at is None and old.expires_at is None
            if not (api_key.is_active and is_newest and old.last_used_at is None):
                raise IdempotencySecretUsed
            old.end()
            fresh, plaintext = KeySecret.issue(api_key, issued_by=acting.secret if acting else None)
            RememberedRequest.objects.filter(pk=self.pk).update(secret=fresh)
            changes = {"secret": (old.locator, fresh.locator)}
            audit.record("api_key.secret_replaced", api_key, actor=actor, changes=changes)
        return plaintext


def issue_once(
    wanted: ApiKey, *, actor: Actor, inherit: Collection[str], token: str, fingerprint: bytes
) -> tuple[str, str, bool]:
    """Issue `wanted`, or answer again if a request with this token has issued a key before.

    Return the key's id, the plaintext, and whether it is answered again.

    Raises IdempotencyInProgress while another sending is carried out, IdempotencyKeyReused if the
    token came with another request; else as `ApiKey.issue` and `RememberedRequest.issue_again`.
    """
    token_digest = hashlib.sha256(token.encode()).digest()
    with transaction.atomic():
        _lock(actor.id, token)
        sent = RememberedRequest.objects.filter(caller_id=actor.id, token_digest=token_digest)
        sent.filter(created_at__lte=timezone.now() - REMEMBERED_FOR).delete()
        earlier = sent.select_related("secret").first()
        if earlier is None:
            plaintext = wanted.issue(actor=actor, inherit=inherit)
            RememberedRequest.objects.create(
                caller_id=actor.id,
                token_digest=token_digest,
                fingerprint=fingerprint,
                secret=wanted.issued_secret,
            )
            return wanted.pk, plaintext, False
        if bytes(earlier.fingerprint) != fingerprint:
            raise IdempotencyKeyReused(earlier.created_at)
        plaintext = earlier.issue_again(wanted, actor=actor, inherit=inherit)
        return earlier.secret.api_key_id, plaintext, True


def _lock(caller_id: str, token: str) -> None:
    """Raises IdempotencyInProgress where another transaction holds the lock."""
    digest = hashlib.sha256(f"{caller_id} {token}".encode()).digest()
    number = int.from_bytes(digest[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute(TRY_LOCK, [number])
        if cursor.fetchone() != (True,):
            raise IdempotencyInProgress
