"""The database's content as a thief of a dump reads it."""

from django.contrib.sessions.models import Session
from django.db import connection


def dumped() -> str:
    """Return every row of every table as text, with the content of sessions decoded."""
    rows: list[str] = []
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        assert "django_session" in tables
        for table in tables:
            name = connection.ops.quote_name(table)
            cursor.execute(f"SELECT t::text FROM {name} t")
            rows += [row[0] for row in cursor.fetchall()]
    rows += [str(session.get_decoded()) for session in Session.objects.all()]
    return "\n".join(rows)
