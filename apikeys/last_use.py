"""When, from where and by what a secret was last presented, to the minute."""

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from reachscore.api.origin import Origin

PRECISION_SECONDS: Final = 60

# A row that a verb holds is left for the next request: nothing that works may wait for a rotation.
# Two requests can come here in either order; the time never goes back.
NOTE_LATER_USE: Final = """
    UPDATE apikeys_keysecret
       SET last_used_at = %(now)s,
           last_used_ip = %(ip)s,
           last_used_user_agent = %(user_agent)s
     WHERE id = (
           SELECT id
             FROM apikeys_keysecret
            WHERE id = %(secret_id)s AND last_used_at <= %(minute_ago)s
              FOR NO KEY UPDATE SKIP LOCKED
           )
"""

# This one waits: a rotation or a repeated creation may be ending the secret as never used.
NOTE_FIRST_USE: Final = """
    UPDATE apikeys_keysecret
       SET last_used_at = GREATEST(last_used_at, %(now)s),
           last_used_ip = %(ip)s,
           last_used_user_agent = %(user_agent)s
     WHERE id = %(secret_id)s AND ended_at IS NULL
"""


def note_use(secret_id: int, *, last_used_at: float | None, now: datetime, origin: Origin) -> bool:
    """Note that a secret was presented, where `last_used_at`, a Unix time, is over a minute old
    or None.

    False where it was its first use and a verb had ended the secret meanwhile: what was read of it
    no longer holds.
    """
    if last_used_at is not None and now.timestamp() - last_used_at < PRECISION_SECONDS:
        return True
    is_first = last_used_at is None
    with connection.cursor() as cursor:
        cursor.execute(
            NOTE_FIRST_USE if is_first else NOTE_LATER_USE,
            {
                "secret_id": secret_id,
                "now": now,
                "minute_ago": now - timedelta(seconds=PRECISION_SECONDS),
                "ip": origin.address,
                "user_agent": origin.user_agent,
            },
        )
        return cursor.rowcount == 1 or not is_first
