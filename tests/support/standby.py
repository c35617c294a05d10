"""A synchronous replica that is away, so that no commit is confirmed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

RELOAD = "SELECT pg_reload_conf()"
COMMIT = "SELECT pg_logical_emit_message(true, '', '')"  # Writes something, and commits.
IS_WAITING = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"


@contextmanager
def standby_away(connect: Callable[[], "psycopg.Connection[tuple[Any, ...]]"]) -> Iterator[None]:
    """Let every commit wait for a replica that does not exist, from the first one in the block on.

    `connect` makes connections of a superuser, in autocommit.
    """
    with connect() as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        try:
            admin.execute(RELOAD)
            _until_commits_wait(admin, connect)
            yield
        finally:
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute(RELOAD)
            admin.execute(COMMIT)  # Waits until the setting has gone.


def _until_commits_wait(
    admin: "psycopg.Connection[tuple[Any, ...]]",
    connect: Callable[[], "psycopg.Connection[tuple[Any, ...]]"],
) -> None:
    """Commit until it waits. The checkpointer tells all backends at once, a moment later."""
    deadline = time.monotonic() + 60
    with connect() as probe:
        pid = probe.info.backend_pid
        while not admin.execute(IS_WAITING, [pid]).fetchone():
            assert time.monotonic() < deadline
            probe.pgconn.consume_input()
            if not probe.pgconn.is_busy():
                while probe.pgconn.get_result():
                    pass
                probe.pgconn.send_query(COMMIT.encode())
            time.sleep(0.005)
        admin.execute("SELECT pg_cancel_backend(%s)", [pid])
        while probe.pgconn.get_result():
            pass
