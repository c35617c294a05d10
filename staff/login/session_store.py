"""Stores sessions of staff in Django's table."""

from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone
from django.utils.crypto import salted_hmac

from web.database import WITHOUT_WAITING
from web.database.stale import once_more


class SessionStore(db.SessionStore):
    """Django's store, but its table holds a keyed digest of the cookie's value, so that a dump logs
    nobody in. Only a missing row is an interrupted session (400), and not any database fault."""

    def load(self) -> dict[str, Any]:
        """Return the session's data. If it is over, return nothing and forget its key."""
        rows = self.model.objects.filter(pk=_digest(self.session_key or ""))
        row = rows.filter(expire_date__gt=timezone.now()).first()
        if row is None:
            self._session_key = None
            return {}
        return self.decode(row.session_data)

    def exists(self, session_key: str) -> bool:
        return super().exists(_digest(session_key))

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            super().delete(_digest(key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        row = super().create_model_instance(data)
        row.session_key = _digest(row.session_key)
        return row

    def save(self, must_create: bool = False) -> None:
        """Write the session. Raises CreateError, UpdateError, and what the database raises."""
        if must_create or self.session_key is None:
            once_more(super().save)(must_create)
            return
        # Does not wait for a replica, so that pages work without one. If a failover loses the
        # write, the user must log in or give the proof again.
        row = self.create_model_instance(dict(self.items()))
        rows = self.model.objects.filter(WITHOUT_WAITING, pk=row.pk)
        if not rows.update(session_data=row.session_data, expire_date=row.expire_date):
            raise UpdateError


def _digest(session_key: str) -> str:
    """Return 160 bits in hexadecimal: the column takes 40 characters."""
    salt = "staff.login.session_store"
    return salted_hmac(salt, session_key, algorithm="sha256").hexdigest()[:40]
