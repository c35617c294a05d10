"""`manage.py deliver` as a process beside the test, and the mail server that it talks to."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event
from typing import Any

from aiosmtpd.controller import Controller
from django.db import connection

from tests.support.demo_server import ROOT, free_port
from tests.support.waiting import until

# The test's database, and a lease that a test can wait for.
RUN = """
import sys
from datetime import timedelta
import django
from django.conf import settings
host, port, name, user, mail_port, lease = sys.argv[1:]
place = {"ENGINE": "web.database", "HOST": host, "PORT": port, "NAME": name, "USER": user}
settings.DATABASES["default"] |= place
settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", int(mail_port), 60
django.setup()
from django.core.management import call_command
from notices.deliver import mails
from notices.leaks import queue
mails.LEASE = queue.LEASE = timedelta(seconds=float(lease))
call_command("deliver")
"""


@dataclass
class Ledger:
    """A mail server that notes each mail before it says so: (Message-ID's name, when)."""

    port: int = field(default_factory=free_port)
    taken: list[tuple[str, float]] = field(default_factory=list)
    seconds: float = 0  # Until it answers.
    is_over: Event = field(default_factory=Event)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content)
        self.taken.append((message["Message-ID"].strip("<>").partition("@")[0], time.time()))
        self.is_over.wait(self.seconds)
        return "250 2.0.0 Ok: queued"

    def until(self, count: int) -> None:
        """Wait until so many mails were taken."""
        until(lambda: len(self.taken) >= count)


@contextmanager
def mail_server() -> Iterator[Ledger]:
    ledger = Ledger()
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    server = Controller(ledger, "127.0.0.1", ledger.port, ready_timeout=60)
    server.start()
    try:
        yield ledger
    finally:
        ledger.is_over.set()
        server.stop()


class Deliverer:
    """Starts on entry; is killed on exit."""

    def __init__(self, ledger: Ledger, *, lease: float = 60, port: int | None = None) -> None:
        database = connection.settings_dict
        where = ("127.0.0.1", port) if port else (database["HOST"], database["PORT"])
        whose = (database["NAME"], database["USER"])
        self.arguments = [str(word) for word in (*where, *whose, ledger.port, lease)]
        self.log = NamedTemporaryFile()  # noqa: SIM115 - closed on exit
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *self.arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "PYTHONPATH": str(Path(ROOT)),
                "PGAPPNAME": "deliver",
            },
            stderr=self.log,
        )

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; return the exit code."""
        self.process.send_signal(sign)
        return self.process.wait(timeout=60)

    @property
    def said(self) -> str:
        return Path(self.log.name).read_text()  # The process has the open file's place in it.

    def __enter__(self) -> "Deliverer":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        self.log.close()
