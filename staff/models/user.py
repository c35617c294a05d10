"""Accounts of staff."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.conf import settings
from django.contrib.auth.models import AbstractUser, Permission, UserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.forms.models import model_to_dict
from django.utils import timezone
from django.utils.crypto import salted_hmac

from audit.actor import Actor
from audit.models import SERVICE, AuditLog
from web.context import current
from web.input.moments import format_moment

OWN_RIGHTS: Final = ("username", "sso_name", "is_active", "is_staff", "is_superuser")


class StaffManager(UserManager["User"]):
    """Django's manager. It records accounts that the command `createsuperuser` makes."""

    use_in_migrations = False

    def create_superuser(self, *args: Any, **kwargs: Any) -> User:
        """Create an account with every right, and record it with the command line as the actor."""
        with AuditLog.of(SERVICE) as audit:
            user = super().create_superuser(*args, **kwargs)
            changes = {name: (None, value) for name, value in user.rights().items() if value}
            audit.record("staff.created", user, actor=Actor.cli(), changes=changes)
        return user


class User(AbstractUser):
    """A member of staff. Customers have no accounts, but an organization and its keys. Accounts are
    disabled, never deleted, because the audit log names them."""

    sso_name = models.CharField(
        "SSO name",
        max_length=150,
        unique=True,
        null=True,
        blank=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9._@+-]+\Z")],
        help_text="What single sign-on calls this account, if not by its user name.",
    )

    sessions_ended = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[StaffManager] = StaffManager()

    def clean(self) -> None:
        """Raise ValidationError if single sign-on could take this account for another one."""
        super().clean()
        same = Q(username=self.sso_name) | Q(sso_name=self.username)
        if User.objects.filter(same).exclude(pk=self.pk).exists():
            raise ValidationError("One account's SSO name cannot be another one's user name.")

    def end_sessions(self) -> None:
        """End all sessions of this account. `update_session_auth_hash` lets one go on."""
        User.objects.filter(pk=self.pk).update(sessions_ended=models.F("sessions_ended") + 1)
        self.refresh_from_db(fields=["sessions_ended"])

    def is_current(self) -> bool:
        """Return True if the account's sessions were not ended since this row was read."""
        return User.objects.filter(pk=self.pk, sessions_ended=self.sessions_ended).exists()

    def get_session_auth_hash(self) -> str:
        """Return the digest that sessions must hold. The password and `end_sessions` change it."""
        held = f"{self.password} {self.sessions_ended}"
        return salted_hmac("sessions of staff", held, algorithm="sha256").hexdigest()

    def record(
        self, action: str, tell: str = "", *, actor: Actor | None = None, **more: Any
    ) -> None:
        """Record an event of this account, by its owner if no actor is given. After the commit,
        mail `tell` to the owner's address, if there are both. A mail that cannot be sent is logged.
        """
        with AuditLog.of(SERVICE) as audit:
            audit.record(f"staff.{action}", self, actor=actor or Actor.staff(self), **more)
        text = f"""On the account {self.get_username()} {tell}.

At {format_moment(timezone.now())}, from {current().address or "the command line"}.

Was that not you? Then tell a superuser at once, who can reset your second factor and disable the
account under {settings.PUBLIC_URL}/admin/.
"""

        def send() -> None:
            self.email_user(f"ReachScore keys: {tell}", text)

        if tell and self.email:
            transaction.on_commit(send, robust=True)

    def record_new_password(self, *, actor: Actor | None = None) -> None:
        """Record and mail that a password was set. Neither has the password or its hash."""
        self.record("password_changed", "your password was changed", actor=actor)

    def rights(self) -> dict[str, Any]:
        """Return the rights as stored now, as JSON for events; empty if there is no such row."""
        if (stored := User.objects.filter(pk=self.pk).first()) is None:
            return {}
        return {
            **model_to_dict(stored, OWN_RIGHTS),
            "groups": sorted(stored.groups.values_list("name", flat=True)),
            "permissions": names_of(stored.user_permissions),
        }


def names_of(permissions: models.Manager[Permission]) -> list[str]:
    """Return these permissions as events name them."""
    pairs = permissions.values_list("content_type__app_label", "codename")
    return sorted(f"{app}.{codename}" for app, codename in pairs)
