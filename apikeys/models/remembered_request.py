"""Requests that may be sent again: what is remembered of them, and how they are answered again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, models, transaction
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from accounts.models import Actor, AuditLog
from apikeys.exceptions import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    IdempotencySecretUsed,
)
from apikeys.models.acting_key import ActingKey
from apikeys.models.api_key import ApiKey
from apikeys.models.key_secret import KeySecret

REMEMBERED_FOR: Final = timedelta(hours=24)

# Of two that come at once, one gets the lock and the other does not wait.
TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(%s)"


class RememberedRequest(models.Model):
    """A request with an Idempotency-Key that issued a secret.

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
        """Answer `ApiKey.issue` again: return a fresh secret of the key that was made then.

        Everything is checked as for a new key. Raises as `ApiKey.issue`; ExceedsCaller where the
        key has come to reach further than the acting one; IdempotencySecretUsed.
        """
        with AuditLog.of(wanted.organization_id) as audit:
            acting = wanted.check_new(actor=actor, inherit=inherit, but=self.secret.api_key_id)
            return self._replace_secret(audit, acting, actor=actor)

    def rotate_again(self, *, actor: Actor) -> str:
        """Answer `ApiKey.rotate` again: return a fresh secret in the place of the one issued then.

        The old secret keeps the end that it got then. Raises ManagingTakesAllScopes,
        ResourceNotFound, ExceedsCaller, IdempotencySecretUsed.
        """
        with AuditLog.of(self.caller.organization_id) as audit:
            acting = ActingKey.of(actor)
            # A key that rotated itself is being rotated out since, by this very request.
            is_itself = acting is not None and acting.api_key.pk == self.secret.api_key_id
            return self._replace_secret(audit, acting, actor=actor, of_its_own_rotation=is_itself)

    def _replace_secret(
        self,
        audit: AuditLog,
        acting: ActingKey | None,
        *,
        actor: Actor,
        of_its_own_rotation: bool = False,
    ) -> str:
        """Put a fresh secret in the place of the one issued, as long as that was never used."""
        # The lock orders this and the first use: whichever comes second finds what the first did.
        old = KeySecret.objects.select_for_update(no_key=True).get(pk=self.secret_id)
        api_key = ApiKey.objects.get(pk=old.api_key_id)
        if acting is not None:
            acting.require_reach(api_key)
            acting.require_all_of(api_key, of_its_own_rotation=of_its_own_rotation)
        is_newest = old.ended_at is None and old.expires_at is None
        if not (api_key.is_active and is_newest and old.last_used_at is None):
            raise IdempotencySecretUsed
        old.end()
        fresh, plaintext = KeySecret.issue(api_key, issued_by=acting.secret if acting else None)
        RememberedRequest.objects.filter(pk=self.pk).update(secret=fresh)
        audit.record(
            "api_key.secret_replaced",
            api_key,
            actor=actor,
            livemode=api_key.livemode,
            changes={"secret": (old.locator, fresh.locator)},
        )
        return plaintext


class Attempt:
    """One sending of a request with an Idempotency-Key, inside its transaction."""

    def __init__(self, *, caller_id: str, token: str, fingerprint: bytes) -> None:
        self._caller_id = caller_id
        self._token_digest = hashlib.sha256(token.encode()).digest()
        self._fingerprint = fingerprint
        self.earlier = self._find()

    @classmethod
    @contextmanager
    def begin(cls, *, caller_id: str, token: str, fingerprint: bytes) -> Iterator[Attempt]:
        """Open the transaction in which the request is carried out and remembered.

        `earlier` is the request as it was remembered, where this is not its first sending.

        Raises IdempotencyInProgress while another sending is carried out, IdempotencyKeyReused
        where the token came with another request.
        """
        with transaction.atomic():
            _lock(caller_id, token)
            yield cls(caller_id=caller_id, token=token, fingerprint=fingerprint)

    def remember(self, api_key: ApiKey) -> None:
        """Note that this request issued the newest secret of `api_key`."""
        RememberedRequest.objects.create(
            caller_id=self._caller_id,
            token_digest=self._token_digest,
            fingerprint=self._fingerprint,
            secret=KeySecret.objects.get(api_key=api_key, ended_at=None, expires_at=None),
        )

    def _find(self) -> RememberedRequest | None:
        rows = RememberedRequest.objects.filter(
            caller_id=self._caller_id, token_digest=self._token_digest
        )
        forgotten = timezone.now() - REMEMBERED_FOR
        rows.filter(created_at__lte=forgotten).delete()
        found = rows.select_related("secret", "caller").first()
        if found is not None and bytes(found.fingerprint) != self._fingerprint:
            raise IdempotencyKeyReused(found.created_at)
        return found


def _lock(caller_id: str, token: str) -> None:
    """Raises IdempotencyInProgress where another transaction holds the lock."""
    digest = hashlib.sha256(f"{caller_id} {token}".encode()).digest()
    number = int.from_bytes(digest[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute(TRY_LOCK, [number])
        if cursor.fetchone() != (True,):
            raise IdempotencyInProgress
