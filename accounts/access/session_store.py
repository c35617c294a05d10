"""Where sessions of staff are kept: Django's table, written in this service's manner."""

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError

from reachscore.database import WITHOUT_WAITING
from reachscore.stale import once_more


class SessionStore(db.SessionStore):
    """Django's, except that it takes only a row that is gone for an interrupted session.

    Django takes every fault of the database for one, and answers 400.
    """

    def save(self, must_create: bool = False) -> None:
        """Write the session.

        Raises CreateError, UpdateError, and what the database raises.
        """
        if must_create or self.session_key is None:
            once_more(super().save)(must_create)
            return
        # Waits for no replica, so that a click can be noted while there is none. Where a failover
        # forgets it, less is known of the session: a log-in or a proof is asked for again.
        row = self.create_model_instance(dict(self.items()))
        rows = self.model.objects.filter(WITHOUT_WAITING, pk=row.pk)
        if not rows.update(session_data=row.session_data, expire_date=row.expire_date):
            raise UpdateError
