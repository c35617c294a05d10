import os
import signal
import socket
import subprocess
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.models import Organization
from reachscore.demo import ADMIN, Welcome, make_welcome
from reachscore.server import server_command

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30


class Command(BaseCommand):
    help = "Migrate, serve, and on the first run make and show a demo organization with its keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        refuse_taken_port(port)
        call_command("migrate", verbosity=0)
        # Without debug pages, as in production; DEBUG=true runs with them.
        environ = {"DEBUG": "false", **os.environ}
        # A process group of its own: Ctrl-C reaches a whole group, and granian can hang when its
        # workers get that signal beside the one that their parent sends them.
        server = subprocess.Popen(  # noqa: S603
            server_command(host=HOST, port=port), env=environ, process_group=0
        )
        for end in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(end, lambda *_: server.terminate())
        try:
            if wait_until_ready(server, port):
                self._welcome(f"http://{HOST}:{port}")
            code = server.wait()
        finally:
            server.terminate()
        if code > 0:
            raise SystemExit(code)

    @transaction.atomic
    def _welcome(self, url: str) -> None:
        """Show what a first run made before it is committed: never a key that nobody saw."""
        welcome = make_welcome()
        self.stdout.write(welcome_text(url, welcome))
        self.stdout.flush()


def refuse_taken_port(port: int) -> None:
    """Raises CommandError where another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). Choose another: make run PORT=8001"
            ) from None
        except OverflowError:
            raise CommandError("A port is a number from 1 to 65535.") from None


def wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> bool:
    """Return once /readyz answers 200; False when the server ended first.

    Raises CommandError after half a minute, with what /readyz said.
    """
    deadline = time.monotonic() + START_SECONDS
    said = "nothing answers"
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return False
        connection = HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            said = response.read().decode()
            if response.status == HTTPStatus.OK:
                return True
        except (OSError, HTTPException):
            pass  # It is still starting.
        finally:
            connection.close()
        time.sleep(0.05)
    raise CommandError(f"The server did not get ready within {START_SECONDS} s: {said}")


def welcome_text(url: str, welcome: Welcome) -> str:
    """Return what a run prints once everything is up; keys and password only where just made."""
    lines = [
        "",
        "ReachScore is running. Ctrl-C ends it.",
        "",
        f"  API    {url}/v1",
        f"  Docs   {url}/docs",
        f"  Admin  {url}/admin/",
    ]
    if welcome.password:
        lines += [f"         user {ADMIN}, password {welcome.password} (shown once)"]
    if welcome.live_key:
        authorization = f"-H 'Authorization: Bearer {welcome.live_key}'"
        new_key = "-H 'Content-Type: application/json' -d '{\"name\": \"My first key\"}'"
        lines += [
            "",
            "Two keys of the organization Your Company, plan team. They are shown once:",
            "",
            f"  live   {welcome.live_key}",
            f"  test   {welcome.test_key}",
            "",
            "Make a key:",
            "",
            f"curl -X POST {url}/v1/keys {authorization} {new_key}",
            "",
            "Ask who is calling:",
            "",
            f"curl {url}/v1/auth/me {authorization}",
        ]
    else:
        organization = Organization.objects.earliest("created_at")
        lines += [
            "",
            f"To make another key for {organization}:",
            "",
            f"  .venv/bin/python manage.py issue_api_key {organization.id} --name 'My key'",
        ]
    return "\n".join([*lines, ""])
