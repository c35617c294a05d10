"""What the use of a secret writes into its row: when and from where, and a newer digest."""

from datetime import datetime
from typing import Final

from django.db import connection

from apikeys.plaintext import signing_digest
from web.context import current

PRECISION_SECONDS: Final = 60

# A row that a verb holds is left for the next request: nothing that works may wait for a rotation.
# Two requests can come here in either order: the time goes back only if it is in a future that no
# right clock wrote. The commit waits for no disk and no replica: this is statistics.
NOTE_LATER_USE: Final = """
    UPDATE apikeys_keysecret
       SET last_used_at = %(now)s,
           last_used_ip = %(ip)s,
           last_used_user_agent = %(user_agent)s
     WHERE id = (
           SELECT id
             FROM apikeys_keysecret
            WHERE id = %(secret_id)s
              AND abs(extract(epoch FROM last_used_at - %(now)s)) >= %(precision)s
              AND set_config('synchronous_commit', 'off', TRUE) = 'off'
              FOR NO KEY UPDATE SKIP LOCKED
           )
"""

# This one waits: a rotation or a repeated creation may be ending the secret as never used. Its
# commit waits for the disk, and for no replica.
NOTE_FIRST_USE: Final = """
    UPDATE apikeys_keysecret
       SET last_used_at = GREATEST(last_used_at, %(now)s),
           last_used_ip = %(ip)s,
           last_used_user_agent = %(user_agent)s
     WHERE id = %(secret_id)s AND ended_at IS NULL
       AND set_config('synchronous_commit', 'local', TRUE) = 'local'
"""

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


def note_use(secret_id: int, *, last_used_at: float | None, now: datetime) -> bool:
    """Note that a secret was presented, at most once a minute (debounce).

    `last_used_at` is the Unix time that was read with the secret, None before its first use.
    Return False if this was the secret's first use but it was ended concurrently; the caller must
    authenticate again.
    """
    if last_used_at is not None and abs(now.timestamp() - last_used_at) < PRECISION_SECONDS:
        return True
    is_first = last_used_at is None
    context = current()
    with connection.cursor() as cursor:
        cursor.execute(
            NOTE_FIRST_USE if is_first else NOTE_LATER_USE,
            {
                "secret_id": secret_id,
                "now": now,
                "precision": PRECISION_SECONDS,
                "ip": context.address,
                "user_agent": context.user_agent,
            },
        )
        return cursor.rowcount == 1 or not is_first


def renew_digest(plaintext: str, *, locator: str, pepper_id: int) -> None:
    """Move a secret that was just proven from an older pepper to the one that signs.

    This takes the plaintext, so it happens on use. A row that a verb holds is left for the next
    time: no request waits for this.
    """
    new_id, digest = signing_digest(plaintext)
    with connection.cursor() as cursor:
        cursor.execute(RENEW_DIGEST, [new_id, digest, locator, pepper_id])
