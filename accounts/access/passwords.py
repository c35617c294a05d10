"""New passwords of staff, as the audit log tells of them."""

from accounts.models import Actor, AuditLog, User


def record_new_password(audit: AuditLog, user: User | None, *, actor: Actor) -> None:
    """Record that the password is another than in `user`, as it was read before, if it is.

    Only that: neither password nor hash has a place in a log.
    """
    if user is not None and not User.objects.filter(pk=user.pk, password=user.password).exists():
        audit.record("staff.password_changed", user, actor=actor)
