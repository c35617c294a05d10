"""Creations that may be sent again: what is remembered of each."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from apikeys.models.api_key import ApiKey
from apikeys.models.key_secret import KeySecret

REMEMBERED_FOR: Final = timedelta(hours=24)


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
