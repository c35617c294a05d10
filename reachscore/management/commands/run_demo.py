import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection, transaction

from reachscore.demo import make_welcome, welcome_text
from reachscore.server import end_with_parent, refuse_taken_port, server_command

MANAGE: Final = settings.BASE_DIR / "manage.py"
HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30
FIRST_RUN_LOCK: Final = 5_275_943  # Any number that no other advisory lock uses.
ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Command(BaseCommand):
    help = (
        "Migrate, serve and deliver, and on the first run make and show a demo organization with "
        "its keys."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        refuse_taken_port(HOST, port, another="make run PORT=8001, or --port 8001")
        call_command("render_docs")
        try:
            with one_at_a_time():
                call_command("migrate", verbosity=0)
        except OperationalError as error:
            raise CommandError(str(error)) from error
        for end in ENDS:
            signal.signal(end, lambda *_: sys.exit(0))  # Runs every `finally`, like Ctrl-C.
        url = f"http://localhost:{port}"
        server = start(server_command(host=HOST, port=port), PUBLIC_URL=url)
        deliverer = start([sys.executable, str(MANAGE), "deliver"], PUBLIC_URL=url)
        try:
            if wait_until_ready(server, port):
                # A signal waits until the keys that were shown are committed.
                signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
                with one_at_a_time(), transaction.atomic():
                    self.stdout.write(welcome_text(f"http://{HOST}:{port}", **make_welcome()))
                    self.stdout.flush()  # Before the commit: no key is stored that nobody saw.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
            raise SystemExit(server.wait())
        finally:
            end_server(server)
            end_server(deliverer)


def start(command: list[str], **environ: str) -> "subprocess.Popen[bytes]":
    """Start a process of the service, which ends with this one."""
    return subprocess.Popen(  # noqa: S603
        command,
        env={"DEBUG": "false", **environ, **os.environ},  # Debug pages only if the caller asks.
        process_group=0,  # A group of its own, so that it can be killed with its workers.
        preexec_fn=end_with_parent,  # noqa: PLW1509 - there is one thread here
    )


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold an advisory lock, so that two first runs do not create everything twice."""
    with connection.cursor() as cursor:
        # Do not wait inside the statement: CREATE INDEX CONCURRENTLY waits for its snapshot to end.
        is_held = False
        while not is_held:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [FIRST_RUN_LOCK])
            ((is_held,),) = cursor.fetchall()
            time.sleep(0 if is_held else 0.1)
    try:
        yield
    finally:
        connection.close()  # This ends the lock, also after Ctrl-C.


def end_server(server: "subprocess.Popen[bytes]") -> None:
    """End the server or the deliverer; kill its whole group if it takes longer than 12 s."""
    for end in ENDS:
        signal.signal(end, signal.SIG_IGN)
    server.terminate()
    try:
        server.wait(12)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


def wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until /readyz answers 200. Return False if the server ends first.

    Raises CommandError, with the last answer of /readyz, after START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    said = "nothing answers"
    opener = build_opener(ProxyHandler({}))  # Not by a proxy of the shell's.
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return False
        with suppress(OSError, HTTPException):  # It is still starting, also in midst of an answer.
            try:
                with opener.open(f"http://{HOST}:{port}/readyz", timeout=2):
                    return True
            except HTTPError as error:
                said = error.read().decode()
        time.sleep(0.05)
    raise CommandError(f"The server did not get ready within {START_SECONDS} s: {said}")
