"""An API key: the identity, and the verbs that change it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Actor, AuditLog, Organization, Plan
from apikeys.models.counters import ScopeGrant
from apikeys.models.key_secret import KeySecret
from apikeys.models.key_status import KeyStatus
from apikeys.networks import NetworkField
from apikeys.refusals import KeyLimitReached, KeyNotActive
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.ceiling import GIVEN, ActingKey
from apikeys.verbs.rules import CLEAN, as_shown, check_end, clean_reason
from reachscore.api.ids import new_id
from reachscore.api.metrics import KEYS_ISSUED, KEYS_REVOKED
from reachscore.api.moments import format_moment
from reachscore.api.refusals import ParameterInvalid

LONGEST_OVERLAP: Final = timedelta(days=7)


class ApiKey(models.Model):
    """The identity: who calls and what it may do. What proves it is a `KeySecret`.

    Every verb locks the organization's audit log, reads the acting key and this one again, and
    writes its event in the same transaction. An actor that is itself a key acts only within its
    own organization and mode, and gives nothing that it does not hold at that moment; staff and
    commands have no ceiling. Each verb can raise what `ActingKey` raises for an actor that has
    lost its authority since it authenticated.
    """

    id = models.CharField(
        primary_key=True, max_length=40, default=partial(new_id, "key"), editable=False
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="api_keys"
    )
    livemode = models.BooleanField("live mode", default=True)
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=40), default=partial(list, ALL_SCOPES))
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

    issued_secret: KeySecret  # By `issue`, on the instance that was issued.

    class Meta:
        verbose_name = "API key"
        # A key is neither added, changed nor deleted: it goes through its verbs.
        default_permissions = ("view",)
        permissions = [
            ("issue_apikey", "Can issue API key"),
            ("rotate_apikey", "Can rotate API key"),
            ("revoke_apikey", "Can revoke API key"),
            ("narrow_apikey", "Can narrow, rename and bind API key to addresses"),
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
        ]
        constraints = [
            models.CheckConstraint(
                # Both: an empty array is contained in any, and a null element in none.
                condition=Q(scopes__len__gt=0) & Q(scopes__contained_by=list(ALL_SCOPES)),
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
        """Neither revoked nor expired."""
        return self.status is KeyStatus.ACTIVE

    @property
    def newest_locator(self) -> str:
        """Name the newest secret; empty where every one was ended."""
        newest, _ = KeySecret.unended_of(self)
        return newest.locator if newest else ""

    @property
    def retiring_locator(self) -> str:
        """Name the secret that an open rotation retires; empty where none is open."""
        _, retiring = KeySecret.unended_of(self)
        return retiring.locator if retiring and retiring.is_live and self.is_active else ""

    def issue(self, *, actor: Actor, inherit: Collection[str] = ()) -> str:
        """Save this key and return its plaintext, which is stored nowhere.

        `inherit` names those of INHERITABLE that are to be the acting key's own.

        Raises ParameterInvalid and ContainsApiKey, with the field; ManagingTakesAllScopes,
        ExceedsCaller, KeyLimitReached.
        """
        with AuditLog.of(self.organization_id) as audit:
            acting = self.check_new(actor=actor, inherit=inherit)
            self.created_by = str(actor)
            self.maker = acting.secret if acting else None
            self.save(force_insert=True)
            ScopeGrant.give(self)
            self.issued_secret, plaintext = KeySecret.issue(self)
            changes = {name: (None, value) for name, value in self._granted().items()}
            audit.record("api_key.issued", self, actor=actor, changes=changes)
        KEYS_ISSUED.inc()
        return plaintext

    def check_new(
        self, *, actor: Actor, inherit: Collection[str], but: str | None = None
    ) -> ActingKey | None:
        """Hold this unsaved key to every rule of a new one; return the key that makes it, if any.

        Inside a verb. `but` is a key that does not count against the limit. Raises as `issue`.
        """
        for name, clean in CLEAN.items():
            setattr(self, name, clean(getattr(self, name)))
        acting = ActingKey.of(actor)
        if acting is not None:
            acting.require_managing()
            acting.require_reach(self)
            for name in inherit:
                setattr(self, name, acting.own(name))
            acting.require_given({name: getattr(self, name) for name in GIVEN})
        check_end(self.expires_at)
        self._check_limit(but=but)
        return acting

    def change(self, *, actor: Actor, reason: str = "", **fields: Any) -> bool:
        """Set those of `name`, `scopes` and INHERITABLE that are given.

        None stands for no limit: “never”, “any address”, “all of the plan”. A field that is given
        as it was is not looked at, so that a whole object can be sent back; False where all were.
        An acting key must be unrestricted, and without limits of its own to change another key. It
        gives nothing that it does not hold, so that it cannot widen itself.

        Raises ParameterInvalid and ContainsApiKey, with the field; ManagingTakesAllScopes,
        ResourceNotFound, KeyNotActive, ExceedsCaller.
        """
        reason = clean_reason(reason)
        cleaned = {n: CLEAN[n](v) if n in CLEAN else v for n, v in fields.items()}
        with AuditLog.of(self.organization_id) as audit:
            acting = ActingKey.of(actor)
            if acting is not None:
                acting.require_managing()
                acting.require_control(self)
            self.read_active()
            before = self._granted()
            changed = {n: v for n, v in cleaned.items() if as_shown(v) != before[n]}
            if not changed:
                return False
            if acting is not None:
                acting.require_given(changed)
            if "expires_at" in changed:
                check_end(changed["expires_at"])
            for name, value in changed.items():
                setattr(self, name, value)
            self.save(update_fields=changed)
            if "scopes" in changed:
                ScopeGrant.objects.filter(api_key=self).exclude(scope__in=self.scopes).delete()
                ScopeGrant.give(self)
            after = self._granted()
            changes = {name: (before[name], after[name]) for name in changed}
            audit.record("api_key.changed", self, actor=actor, reason=reason, changes=changes)
        return True

    def rotate(self, *, actor: Actor, overlap: timedelta) -> str:
        """Give this key a new secret and return its plaintext; the old one lives on for `overlap`,
        never beyond an end that it has already, nor the key's.

        If a rotation is open and its new secret was never used, that one is replaced, so that a
        rotation can be repeated. If it was used, it is rotated out and the older one ends now:
        there are never more than two. An acting key that rotates another must have no limits of
        its own, and one that rotates itself a secret that is not being rotated out.

        Raises ParameterInvalid; ManagingTakesAllScopes, ResourceNotFound, KeyNotActive,
        ExceedsCaller.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            most = int(LONGEST_OVERLAP.total_seconds())
            message = f"overlap_seconds must be from 0 to {most}."
            raise ParameterInvalid(message, field="overlap_seconds")
        with AuditLog.of(self.organization_id) as audit:
            acting = ActingKey.of(actor)
            if acting is not None:
                acting.require_rotating(self)
            self.read_active()
            newest, older = KeySecret.unended_of(self, lock=True)
            was_open = older is not None and older.is_live
            if was_open and (newest is None or newest.last_used_at is None):
                retired, ended = older, newest
            else:
                retired, ended = newest, older
            if ended is not None:  # Though it may have run out: there is room for one only.
                ended.end()
            changes: dict[str, tuple[Any, Any]] = {}
            if retired is not None:
                before = as_shown(retired.expires_at)
                end = retired.rotate_out(overlap, at_the_latest=self.expires_at)
                changes["old_secret_ends"] = (before, format_moment(end))
            secret, plaintext = KeySecret.issue(self, issued_by=acting.secret if acting else None)
            changes["secret"] = (retired and retired.locator, secret.locator)
            if ended is not None and was_open:
                changes["ended_secret"] = (ended.locator, None)
            audit.record("api_key.rotated", self, actor=actor, changes=changes)
        return plaintext

    def finish_rotation(self, *, actor: Actor) -> bool:
        """End the secret that is being rotated out now; False where no rotation is open.

        Raises ManagingTakesAllScopes, ResourceNotFound, KeyNotActive, ExceedsCaller.
        """
        with AuditLog.of(self.organization_id) as audit:
            acting = ActingKey.of(actor)
            if acting is not None:
                acting.require_control(self)
            self.read_active()
            _, old = KeySecret.unended_of(self)
            if old is None or not old.is_live:
                return False
            old.end()
            changes = {"ended_secret": (old.locator, None)}
            audit.record("api_key.rotation_finished", self, actor=actor, changes=changes)
        return True

    def revoke(self, *, actor: Actor, reason: str = "") -> bool:
        """Stop this key at once and for good; False where it was revoked before: nothing changed.

        Raises ParameterInvalid, ContainsApiKey for the reason; ManagingTakesAllScopes,
        ResourceNotFound.
        """
        reason = clean_reason(reason)
        with AuditLog.of(self.organization_id) as audit:
            acting = ActingKey.of(actor)
            if acting is not None:
                acting.require_reach(self)
            changed = self.revoke_within(audit, actor=actor, reason=reason)
        KEYS_REVOKED.inc(changed)  # After the transaction: what is rolled back does not count.
        return changed

    def revoke_within(
        self, audit: AuditLog, *, actor: Actor, reason: str, made_by: str | None = None
    ) -> bool:
        """Revoke inside a verb that holds the lock and has checked authority and reason.

        `made_by` is the key whose cascade this is a part of.
        """
        changed = ApiKey.objects.filter(pk=self.pk, revoked_at=None).update(
            revoked_at=timezone.now(), revoked_by=str(actor), revoked_reason=reason
        )
        if changed:
            changes = {"cascade_of": (None, made_by)} if made_by else {}
            audit.record("api_key.revoked", self, actor=actor, reason=reason, changes=changes)
        self.refresh_from_db(fields=["revoked_at", "revoked_by", "revoked_reason"])
        return changed > 0

    def read_active(self) -> None:
        """Read this key's row again, under the lock. Raises KeyNotActive."""
        self.refresh_from_db()
        if not self.is_active:
            raise KeyNotActive(f"The key {self.pk} is {self.status}.")

    def _check_limit(self, *, but: str | None) -> None:
        limit = Plan.objects.get(organizations=self.organization_id).active_keys_limit
        siblings = ApiKey.objects.filter(
            KeyStatus.ACTIVE.condition,
            organization_id=self.organization_id,
            livemode=self.livemode,
        )
        if limit is not None and siblings.exclude(pk=but or "").count() >= limit:
            raise KeyLimitReached(limit)

    def _granted(self) -> dict[str, Any]:
        """Return what the audit log shows before and after a change, in JSON's types."""
        return {name: as_shown(getattr(self, name)) for name in ("name", *GIVEN)}
