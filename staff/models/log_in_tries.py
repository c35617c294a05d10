"""Failed tries to log in, which `staff.login.lockout` counts."""

from datetime import timedelta
from typing import Final

from django.db import connection, models, transaction
from django.utils import timezone

COOL_OFF: Final = timedelta(minutes=15)


class LogInTries(models.Model):
    """A failed try to log in, under a digest of name and address. It counts for COOL_OFF; then the
    command `forget` deletes it."""

    subject = models.CharField(max_length=64)
    failed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        verbose_name_plural = "log-in tries"
        indexes = [models.Index(fields=["subject", "failed_at"], name="log_in_tries_by_subject")]

    def __str__(self) -> str:
        return f"at {self.failed_at}"

    @classmethod
    def add(cls, *subjects: str) -> None:
        now = timezone.now()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit TO off")  # Does not wait for a replica.
            for subject in subjects:
                cls.objects.create(subject=subject, failed_at=now)

    @classmethod
    def count(cls, subject: str) -> int:
        """Return how many failures count now. Those that a clock ahead of this one noted do not."""
        now = timezone.now()
        lately = cls.objects.filter(failed_at__gt=now - COOL_OFF)
        return lately.filter(subject=subject, failed_at__lt=now + timedelta(minutes=1)).count()
