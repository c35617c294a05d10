from datetime import datetime, timedelta
from typing import Final

from django.db import connection, models
from django.utils import timezone

from web.database import WITHOUT_WAITING

COOL_OFF: Final = timedelta(minutes=15)

# Counted before the password is looked at: who waits for the row sees what the other counted, so
# that many tries at once are no more than as many in a row. The time begins anew with each try
# that may go on, and with none that is refused: going on trying lengthens nothing. An end that no
# right clock can have set does not count. The commit waits for nothing: with a replica away, the
# tries of those who cannot get in would add up to a lock-out.
TAKE: Final = """
    INSERT INTO staff_logintries AS t (subject, tries, ends_at)
    VALUES (%(subject)s, 1, %(ends_at)s)
        ON CONFLICT (subject) DO UPDATE
       SET tries = CASE WHEN t.ends_at <= %(now)s OR t.ends_at > %(latest)s THEN 1
                        ELSE least(t.tries, %(most)s) + 1 END,
           ends_at = CASE WHEN t.ends_at > %(now)s AND t.ends_at <= %(latest)s
                               AND t.tries >= %(most)s THEN t.ends_at
                          ELSE EXCLUDED.ends_at END
 RETURNING tries, set_config('synchronous_commit', 'off', TRUE)
"""
# Some at a time, and none that another process is just deleting.
TIDY_UP: Final = """
    DELETE FROM staff_logintries WHERE subject IN (
        SELECT subject FROM staff_logintries
         WHERE ends_at <= %s AND set_config('synchronous_commit', 'off', TRUE) = 'off'
        LIMIT 100 FOR UPDATE SKIP LOCKED
    )
"""


class LogInTries(models.Model):
    """How often somebody has tried to log in lately, by a digest of who tried what.

    Rows that are over are deleted with each new one, so that the table holds no more than what
    strangers can send within COOL_OFF; and a digest is all that it holds of them.
    """

    subject = models.CharField(primary_key=True, max_length=64)
    tries = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        verbose_name_plural = "log-in tries"

    def __str__(self) -> str:
        return f"{self.tries} until {self.ends_at}"

    @classmethod
    def take(cls, subject: str, *, most: int) -> int:
        """Count one more and return the number: more than `most` is refused.

        Not for use inside a transaction: others would wait for its end.
        """
        now: datetime = timezone.now()
        with connection.cursor() as cursor:
            parameters: dict[str, str | int | datetime] = {
                "subject": subject,
                "now": now,
                "ends_at": now + COOL_OFF,
                "latest": now + COOL_OFF + timedelta(minutes=1),
                "most": most,
            }
            cursor.execute(TAKE, parameters)
            tries: int = cursor.fetchone()[0]
            if tries == 1:
                cursor.execute(TIDY_UP, [now])
        return tries

    @classmethod
    def give_back(cls, subject: str) -> None:
        """Count one less: the try was none. Not for use inside a transaction either."""
        rows = cls.objects.filter(WITHOUT_WAITING, subject=subject, tries__gt=0)
        rows.update(tries=models.F("tries") - 1)

    @classmethod
    def forget(cls, subject: str) -> None:
        """Begin anew: somebody got in."""
        cls.objects.filter(subject=subject).delete()
