"""The proofs of an API key: what is stored of each plaintext."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from apikeys.plaintext import LOCATOR_LENGTH, verifying_digests

# Of secrets that ended before their pepper was dropped: a number that no pepper has.
NO_PEPPER: Final = 0


class KeySecretQuerySet(models.QuerySet["KeySecret"]):
    """Secrets by their plaintext, and by the pepper that they hang on."""

    def find(self, plaintext: str) -> KeySecret | None:
        """Return the secret of a well-formed plaintext, in any state, or None."""
        found = self.filter(digest__in=verifying_digests(plaintext))
        return found.select_related("api_key__organization").first()

    def usable(self) -> Self:
        """Keep those that could still authenticate, if only once a suspension ends."""
        now = timezone.now()
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=now),
            Q(api_key__expires_at=None) | Q(api_key__expires_at__gt=now),
            ended_at=None,
            api_key__revoked_at=None,
        )

    def under_missing_pepper(self) -> Self:
        """Keep those whose pepper is not listed.

        Asks for the gaps between the known numbers: each is a range of the index. NOT IN would read
        the whole table.
        """
        known = sorted([NO_PEPPER, *settings.API_KEY_PEPPERS])
        gaps = Q(pepper_id__gt=known[-1])
        for low, high in pairwise(known):
            gaps |= Q(pepper_id__gt=low, pepper_id__lt=high)
        return self.filter(gaps)

    def need_missing_pepper(self) -> bool:
        """Return True if a secret that could still authenticate hangs on a pepper not listed."""
        missing = self.under_missing_pepper()
        # Without the join first: that is all, as long as no pepper was dropped.
        return missing.exists() and missing.usable().exists()

    def count_by_pepper(self) -> dict[int, int]:
        """Return how many secrets that could still authenticate hang on each pepper."""
        return dict(self.usable().order_by().values_list("pepper_id").annotate(Count("pk")))


class KeySecret(models.Model):
    """The proof: the digest of one plaintext. A key has one, or two while it is being rotated."""

    api_key = models.ForeignKey("ApiKey", on_delete=models.PROTECT, related_name="secrets")
    locator = models.CharField(max_length=LOCATOR_LENGTH, unique=True)
    digest = models.BinaryField(unique=True)
    pepper_id = models.PositiveSmallIntegerField(db_index=True)
    last_four = models.CharField(max_length=4, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    issued_by = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="issued",
        help_text="The secret presented by the key that rotated or replayed; null for staff.",
    )
    expires_at = models.DateTimeField(
        null=True, help_text="When it is rotated out. Null: as long as the key itself."
    )
    ended_at = models.DateTimeField(
        null=True, help_text="When a verb ended it before its time; whatever any clock says."
    )
    last_used_at = models.DateTimeField(null=True, help_text="Presented, to the minute.")
    last_used_ip = models.GenericIPAddressField(null=True)
    last_used_user_agent = models.CharField(max_length=200, blank=True)

    objects = KeySecretQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Exact(Length("digest"), 32), name="key_secret_digest_is_sha_256"
            ),
            # Together: never more than two that live.
            models.UniqueConstraint(
                fields=["api_key"],
                condition=Q(ended_at=None, expires_at=None),
                name="key_secret_one_newest",
            ),
            models.UniqueConstraint(
                fields=["api_key"],
                condition=Q(ended_at=None, expires_at__isnull=False),
                name="key_secret_one_being_rotated_out",
            ),
        ]

    def __str__(self) -> str:
        return self.locator

    @property
    def is_live(self) -> bool:
        """Return True if the secret proves its key, as long as the key itself is active."""
        is_in_time = self.expires_at is None or self.expires_at > timezone.now()
        return self.ended_at is None and is_in_time

    @property
    def ends_at(self) -> datetime | None:
        """When it is rotated out, or its key ends before that; None: as long as its key."""
        own, key = self.expires_at, self.api_key.expires_at
        return min(own, key or own) if own else None

    @property
    def key_hint(self) -> str:
        """The contract's hint: dots and the last four characters."""
        return f"...{self.last_four}"
