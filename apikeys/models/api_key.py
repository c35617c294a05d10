"""An API key: the identity. `apikeys.verbs` has the functions that change one."""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Organization
from apikeys.models.key_secret import KeySecret
from apikeys.networks import NetworkField
from apikeys.scopes import all_scopes
from web.ids import new_id


class KeyStatus(models.TextChoices):
    """What a key is good for now; never stored, always derived from its timestamps."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def condition(self) -> Q:
        """The same as a filter over keys."""
        now = timezone.now()
        unrevoked = Q(revoked_at=None)
        return {
            KeyStatus.ACTIVE: unrevoked & (Q(expires_at=None) | Q(expires_at__gt=now)),
            KeyStatus.EXPIRED: unrevoked & Q(expires_at__lte=now),
            KeyStatus.REVOKED: ~unrevoked,
        }[self]


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
    scopes = ArrayField(models.CharField(max_length=40), default=all_scopes)
    allowed_ips = ArrayField(NetworkField(), null=True, blank=True, help_text="Null: any address.")
    max_tests_per_month = models.PositiveIntegerField(
        null=True, blank=True, help_text="Its own share of the plan. Null: all of it."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    maker = models.ForeignKey(
        KeySecret,
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="keys_made",
        help_text="The secret presented by the key that made this one; null for staff.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    revoked_by = models.CharField(max_length=200, blank=True, editable=False)
    revoked_reason = models.CharField(max_length=200, blank=True, editable=False)
    # Its name and its organization's search_text: kept by triggers, so that no verb can forget it.
    search_text = models.TextField(default="", editable=False)

    issued_secret: KeySecret  # By `issue`, on the instance that was issued.

    class Meta:
        verbose_name = "API key"
        # A key is neither added, changed nor deleted: it goes through its verbs.
        default_permissions = ("view",)
        permissions = [
            ("issue_apikey", "Can issue API key"),
            ("rotate_apikey", "Can rotate API key"),
            ("revoke_apikey", "Can revoke API key"),
            ("narrow_apikey", "Can narrow and change API key"),
        ]
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="api_key_newest_of_all"),
            models.Index(
                fields=["organization", "livemode", "-created_at", "-id"], name="api_key_newest"
            ),
            models.Index(
                fields=["organization", "livemode", "expires_at"],
                condition=Q(revoked_at=None),
                name="api_key_unrevoked",
            ),
            models.Index(
                fields=["revoked_at"], condition=~Q(revoked_at=None), name="api_key_by_revocation"
            ),
            GinIndex(fields=["scopes"], name="api_key_by_scope"),
            GinIndex(
                fields=["allowed_ips"], condition=~Q(allowed_ips=None), name="api_key_by_network"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                # Both: an empty array is contained in any, and a null element in none.
                condition=Q(scopes__len__gt=0) & Q(scopes__contained_by=all_scopes()),
                name="api_key_scopes_known_and_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(allowed_ips=None) | Q(allowed_ips__len__gt=0),
                name="api_key_allowed_ips_null_or_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")),
                name="api_key_expires_after_creation",
            ),
            models.CheckConstraint(
                condition=~Q(revoked_at=None) | Q(revoked_reason="", revoked_by=""),
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

    @property
    def is_active(self) -> bool:
        return self.status is KeyStatus.ACTIVE

    @property
    def retiring_locator(self) -> str:
        """Return the locator of the secret that an open rotation retires, or ""."""
        _, retiring = self.newest_and_retiring()
        return retiring.locator if retiring and retiring.is_live and self.is_active else ""

    def newest_and_retiring(
        self, *, lock: bool = False
    ) -> tuple[KeySecret | None, KeySecret | None]:
        """Return the newest secret and the one that was rotated out; None for one that was ended.

        With `lock`, inside a verb, lock their rows: of a verb and a first use, the one that comes
        second finds what the first did.
        """
        rows = self.secrets.filter(ended_at=None)
        rows = rows.select_for_update(no_key=True) if lock else rows
        by_kind = {secret.expires_at is None: secret for secret in rows}
        return by_kind.get(True), by_kind.get(False)
