"""The proofs of an API key: what is stored of each plaintext."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import connection, models
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from apikeys.format import (
    LOCATOR_LENGTH,
    locator_of,
    new_plaintext,
    signing_digest,
    verifying_digests,
)
from reachscore.api.moments import whole_second

if TYPE_CHECKING:
    from apikeys.models.api_key import ApiKey

# Of secrets that ended before their pepper was dropped: a number that no pepper has.
NO_PEPPER: Final = 0

# One statement, so that it is run once more if what was prepared of it is stale.
RENEW_DIGEST: Final = """
    UPDATE apikeys_keysecret
       SET pepper_id = %s, digest = %s
     WHERE id = (
           SELECT id
             FROM apikeys_keysecret
            WHERE locator = %s AND pepper_id = %s
              AND set_config('synchronous_commit', 'off', TRUE) = 'off'
              FOR UPDATE SKIP LOCKED
           )
"""


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
        """Whether it proves its key, as long as the key itself is active."""
        return self.ended_at is None and (
            self.expires_at is None or self.expires_at > timezone.now()
        )

    @property
    def ends_at(self) -> datetime | None:
        """When it is rotated out, or its key ends before that; None: as long as its key."""
        own, key = self.expires_at, self.api_key.expires_at
        return min(own, key or own) if own else None

    @property
    def key_hint(self) -> str:
        """The contract's hint: dots and the last four characters."""
        return f"...{self.last_four}"

    @classmethod
    def issue(cls, api_key: ApiKey, *, issued_by: KeySecret | None = None) -> tuple[KeySecret, str]:
        """Store a new secret for `api_key`; return it and its plaintext. Call it inside a verb."""
        plaintext = new_plaintext(livemode=api_key.livemode)
        pepper_id, digest = signing_digest(plaintext)
        secret = cls.objects.create(
            api_key=api_key,
            locator=locator_of(plaintext),
            digest=digest,
            pepper_id=pepper_id,
            last_four=plaintext[-4:],
            issued_by=issued_by,
        )
        return secret, plaintext

    @classmethod
    def unended_of(
        cls, api_key: ApiKey, *, lock: bool = False
    ) -> tuple[KeySecret | None, KeySecret | None]:
        """Return the newest secret, and the one that was rotated out, unless a verb ended them.

        With `lock`, inside a verb, lock their rows: of a verb and a first use, the one that comes
        second finds what the first did.
        """
        rows = cls.objects.filter(api_key=api_key, ended_at=None)
        by_kind = {
            secret.expires_at is None: secret
            for secret in (rows.select_for_update(no_key=True) if lock else rows)
        }
        return by_kind.get(True), by_kind.get(False)

    def rotate_out(self, overlap: timedelta, *, at_the_latest: datetime | None) -> datetime:
        """Let this secret end after `overlap`, at a whole second, or earlier if it would already.

        Return when it ends. Call it inside a verb.
        """
        now = timezone.now()
        if not overlap:
            self.end()
            return now
        # At the second that clients see, not a fraction later.
        ends = [whole_second(now + overlap), at_the_latest, self.expires_at]
        self.expires_at = min(end for end in ends if end is not None)
        self.save(update_fields=["expires_at"])
        return self.expires_at

    def end(self) -> None:
        """Stop this secret at once and for good. Call it inside a verb."""
        self.ended_at = timezone.now()
        self.save(update_fields=["ended_at"])

    @classmethod
    def find(cls, plaintext: str) -> KeySecret | None:
        """Return the secret of a well-formed plaintext, whatever its state, or None."""
        return (
            cls.objects.select_related("api_key__organization")
            .filter(digest__in=verifying_digests(plaintext))
            .first()
        )

    @classmethod
    def renew_digest(cls, plaintext: str, *, locator: str, pepper_id: int) -> None:
        """Move a secret that was just proven from an older pepper to the one that signs.

        Only whoever holds the plaintext can, so it happens on use. A row that a verb holds is left
        for the next time: no request waits for this.
        """
        new_id, digest = signing_digest(plaintext)
        with connection.cursor() as cursor:
            cursor.execute(RENEW_DIGEST, [new_id, digest, locator, pepper_id])

    @classmethod
    def count_by_pepper(cls) -> dict[int, int]:
        """Return how many secrets that could still authenticate hang on each pepper."""
        counts = cls._usable().order_by().values_list("pepper_id").annotate(Count("pk"))
        return dict(counts)

    @classmethod
    def some_under_missing_pepper(cls) -> bool:
        """Return True if a secret that could still authenticate hangs on a pepper not listed."""
        # Without the join first: that is all, as long as no pepper was dropped.
        missing = cls._under_missing_pepper()
        return missing.exists() and (missing & cls._usable()).exists()

    @classmethod
    def ended_under_missing_pepper(cls) -> QuerySet[KeySecret]:
        """Return the secrets that hang on a pepper not listed and can never authenticate again."""
        return cls._under_missing_pepper().exclude(pk__in=cls._usable())

    @classmethod
    def _under_missing_pepper(cls) -> QuerySet[KeySecret]:
        """Ask for the gaps between the known numbers: each is a range of the index, where NOT IN
        would read the table.
        """
        known = sorted([NO_PEPPER, *settings.API_KEY_PEPPERS])
        gaps = Q(pepper_id__gt=known[-1])
        for low, high in pairwise(known):
            gaps |= Q(pepper_id__gt=low, pepper_id__lt=high)
        return cls.objects.filter(gaps)

    @classmethod
    def _usable(cls) -> QuerySet[KeySecret]:
        """Return the secrets that could still authenticate, if only once a suspension ends."""
        now = timezone.now()
        return cls.objects.filter(
            Q(expires_at=None) | Q(expires_at__gt=now),
            Q(api_key__expires_at=None) | Q(api_key__expires_at__gt=now),
            ended_at=None,
            api_key__revoked_at=None,
        )
