"""What `deliver` has before it and behind it, for /readyz and metrics."""

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone

from notices.models import LaneName
from web.telemetry.metrics import ENDED, OLDEST_WAITING, WAITING

# Of each lane: how much waits, and since when, in seconds. No times, which /readyz cannot read if
# the session's DateStyle differs. Weekly mails wait from their day on.
FIND_WAITING: Final = """
    SELECT 'reports', count(*), EXTRACT(EPOCH FROM %(now)s - min(created_at))::float8
      FROM notices_leakreport
     UNION ALL
    SELECT 'mails', count(*), EXTRACT(EPOCH FROM %(now)s - min(since))::float8
      FROM (SELECT created_at AS since FROM audit_outboxrow WHERE spread_at IS NULL
             UNION ALL
            SELECT CASE WHEN is_at_once THEN created_at END FROM notices_delivery
             WHERE delivered_at IS NULL AND failed_at IS NULL
               AND (due_at <= %(now)s OR (is_at_once AND tries > 0))) AS waiting
     WHERE %(has_mail)s
"""
UNSEEN_AFTER: Final = timedelta(minutes=1)
FIND_LANES: Final = "SELECT name, seen_at > %s, delivered, failed FROM notices_lane"


def unseen_lanes() -> list[str]:
    """Return the lanes at which no deliverer was seen for a minute. Sets the metrics of all."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(FIND_WAITING, {"now": now, "has_mail": bool(settings.EMAIL_FROM)})
        for name, count, seconds in cursor:
            WAITING.labels(name).set(count)
            OLDEST_WAITING.labels(name).set(seconds or 0)
        cursor.execute(FIND_LANES, [now - UNSEEN_AFTER])
        lanes: dict[str, Any] = {name: lane for name, *lane in cursor}
    _, delivered, failed = lanes.get(LaneName.MAILS, (False, 0, 0))
    ENDED.labels("delivered").set(delivered)
    ENDED.labels("failed").set(failed)
    return [name for name in LaneName if name not in lanes or not lanes[name][0]]
