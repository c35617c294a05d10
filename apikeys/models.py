"""An API key and the secrets that prove it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Final, Never

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Length
from django.db.models.lookups import Exact
from django.utils import timezone

from accounts.models import Actor, AuditLog, Organization
from accounts.models.audit import ActorType
from apikeys.exceptions import (
    ApiKeyExpired,
    ApiKeyInvalid,
    ManagingTakesAllScopes,
    OrganizationSuspended,
)
from apikeys.keys import (
    LOCATOR_LENGTH,
    locator_of,
    new_plaintext,
    signing_digest,
    verifying_digests,
)
from apikeys.scopes import ALL_SCOPES, clean_scopes, is_unrestricted
from reachscore.api.ids import new_id
from reachscore.api.metrics import KEYS_ISSUED, KEYS_REVOKED
from reachscore.api.moments import format_moment, years_after
from reachscore.api.refusals import ParameterInvalid, ResourceNotFound
from reachscore.api.text import clean_line

LONGEST_LIFE_YEARS: Final = 10


class KeyStatus(models.TextChoices):
    """What a key is good for now; never stored, always derived from its timestamps."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKey(models.Model):
    """The identity: who calls and what it may do. What proves it is a `KeySecret`."""

    id = models.CharField(
        primary_key=True, max_length=40, default=partial(new_id, "key"), editable=False
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="api_keys"
    )
    livemode = models.BooleanField("live mode", default=True)
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=40), default=partial(list, ALL_SCOPES))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_reason = models.CharField(max_length=200, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(
                fields=["organization", "livemode", "-created_at", "-id"], name="api_key_newest"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                # Both: an empty array is contained in any, and a null element in none.
                condition=Q(scopes__len__gt=0) & Q(scopes__contained_by=list(ALL_SCOPES)),
                name="api_key_scopes_known_and_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")),
                name="api_key_expires_after_creation",
            ),
            models.CheckConstraint(
                condition=~Q(revoked_at=None) | Q(revoked_reason=""),
                name="api_key_reason_only_if_revoked",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @property
    def status(self) -> KeyStatus:
        """Revoked outweighs expired."""
        if self.revoked_at is not None:
            return KeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return KeyStatus.EXPIRED
        return KeyStatus.ACTIVE

    def issue(self, *, actor: Actor, inherit_expiry: bool = False) -> str:
        """Store this new key and return its plaintext, which nothing keeps.

        An actor that is itself a key must be unrestricted and can give only within its own
        organization, mode and life; with `inherit_expiry` the new key ends when the actor does.
        Staff and commands have no ceiling.

        Raises ParameterInvalid and ContainsApiKey, with the field; for an actor that lost its
        authority meanwhile ApiKeyInvalid, ApiKeyExpired, OrganizationSuspended,
        ManagingTakesAllScopes.
        """
        self.name = clean_line(self.name, field="name", max_length=100)
        self.scopes = clean_scopes(self.scopes)
        with AuditLog.of(self.organization_id) as audit:
            # Under the lock: the actor may have been revoked or narrowed since it authenticated.
            maker = self._maker(actor)
            if maker is not None and inherit_expiry:
                self.expires_at = maker.expires_at
            self._check_expiry(maker)
            self.created_by = str(actor)
            self.save(force_insert=True)
            plaintext = KeySecret.issue(self)
            audit.record(
                "api_key.issued",
                self,
                actor=actor,
                livemode=self.livemode,
                changes={
                    "name": (None, self.name),
                    "scopes": (None, self.scopes),
                    "expires_at": (None, self.expires_at and format_moment(self.expires_at)),
                },
            )
        KEYS_ISSUED.inc()
        return plaintext

    def revoke(self, *, actor: Actor, reason: str = "") -> bool:
        """Stop this key at once and for good; False where it was revoked before: nothing changed.

        Raises ParameterInvalid, ContainsApiKey for the reason.
        """
        reason = clean_line(reason, field="reason", max_length=200, required=False)
        with AuditLog.of(self.organization_id) as audit:
            unrevoked = ApiKey.objects.filter(pk=self.pk, revoked_at=None)
            changed = unrevoked.update(revoked_at=timezone.now(), revoked_reason=reason) > 0
            if changed:
                audit.record(
                    "api_key.revoked", self, actor=actor, livemode=self.livemode, reason=reason
                )
        KEYS_REVOKED.inc(changed)  # After the transaction: what is rolled back does not count.
        self.refresh_from_db(fields=["revoked_at", "revoked_reason"])
        return changed

    def _maker(self, actor: Actor) -> ApiKey | None:
        """Return the key that makes this one, its authority read anew; None for staff."""
        if actor.type is not ActorType.KEY:
            return None
        secret = KeySecret.objects.select_related("api_key__organization").get(
            api_key_id=actor.id, locator=actor.locator
        )
        maker = secret.api_key
        if maker.status is KeyStatus.REVOKED:
            raise ApiKeyInvalid
        if maker.status is KeyStatus.EXPIRED or secret.is_expired:
            raise ApiKeyExpired
        if maker.organization.suspended_at is not None:
            raise OrganizationSuspended
        if not is_unrestricted(maker.scopes):
            raise ManagingTakesAllScopes
        if (maker.organization_id, maker.livemode) != (self.organization_id, self.livemode):
            raise ResourceNotFound
        return maker

    def _check_expiry(self, maker: ApiKey | None) -> None:
        """Refuse an end that is past, too far off, or after the maker's own."""
        now = timezone.now()
        ceiling = maker.expires_at if maker is not None else None
        if ceiling is not None and (self.expires_at is None or self.expires_at > ceiling):
            limit = format_moment(ceiling)
            self._refuse_expiry(f"must not be later than the calling key's own, {limit}")
        if self.expires_at is None:
            return
        if self.expires_at <= now:
            self._refuse_expiry("must be in the future")
        if self.expires_at > years_after(now, LONGEST_LIFE_YEARS):
            self._refuse_expiry(f"must be at most {LONGEST_LIFE_YEARS} years from now")

    @staticmethod
    def _refuse_expiry(rule: str) -> Never:
        raise ParameterInvalid(f"expires_at {rule}.", field="expires_at")


class KeySecret(models.Model):
    """The proof: the digest of one plaintext. A key has one, or two while it is being rotated."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="secrets")
    locator = models.CharField(max_length=LOCATOR_LENGTH, unique=True)
    digest = models.BinaryField(unique=True)
    pepper_id = models.PositiveSmallIntegerField(db_index=True)
    last_four = models.CharField(max_length=4, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, help_text="Null: as long as the key itself.")

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Exact(Length("digest"), 32), name="key_secret_digest_is_sha_256"
            ),
        ]

    def __str__(self) -> str:
        return self.locator

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def key_hint(self) -> str:
        """The contract's hint: dots and the last four characters."""
        return f"...{self.last_four}"

    @classmethod
    def issue(cls, api_key: ApiKey) -> str:
        """Store a new secret for `api_key` and return its plaintext. Call it inside a verb."""
        plaintext = new_plaintext(livemode=api_key.livemode)
        pepper_id, digest = signing_digest(plaintext)
        cls.objects.create(
            api_key=api_key,
            locator=locator_of(plaintext),
            digest=digest,
            pepper_id=pepper_id,
            last_four=plaintext[-4:],
        )
        return plaintext

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
        with transaction.atomic():
            found = cls.objects.select_for_update(skip_locked=True).filter(
                locator=locator, pepper_id=pepper_id
            )
            for secret_id in found.values_list("pk", flat=True):
                new_id, digest = signing_digest(plaintext)
                cls.objects.filter(pk=secret_id).update(pepper_id=new_id, digest=digest)

    @classmethod
    def count_by_pepper(cls) -> dict[int, int]:
        """Return how many secrets hang on each pepper; none is counted for one never used."""
        counts = cls.objects.order_by().values_list("pepper_id").annotate(Count("pk"))
        return dict(counts)

    @classmethod
    def some_under_missing_pepper(cls) -> bool:
        """Tell whether a stored secret can no longer be verified for want of its pepper.

        Asks for the gaps between the known numbers: each is a range of the index, where NOT IN
        would read the table.
        """
        known = sorted(settings.API_KEY_PEPPERS)
        gaps = Q(pepper_id__lt=known[0]) | Q(pepper_id__gt=known[-1])
        for low, high in pairwise(known):
            gaps |= Q(pepper_id__gt=low, pepper_id__lt=high)
        return cls.objects.filter(gaps).exists()
