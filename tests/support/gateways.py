"""The gateways of deploy/gateways/, run as they are but for ports, and a service behind them."""

import http.client
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from tests.support.demo_server import ROOT, free_port
from tests.support.proxies import HAPROXY, NGINX, Proxy

CADDY = shutil.which("caddy")
FOLDER = ROOT / "deploy" / "gateways"
PROGRAMS = {"nginx": NGINX, "Caddy": CADDY, "HAProxy": HAPROXY}


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        """The error code, or "" if the body is not the error envelope."""
        try:
            return str(json.loads(self.body)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""


def ask(
    port: int, method: str, path: str, *lines: str | bytes, key: str = "", body: bytes = b""
) -> Answer:
    """Send one request with these raw header lines on a new connection."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines]
    head += [f"Authorization: Bearer {key}"] if key else []
    head += [f"Content-Length: {len(body)}"] if body else []
    raw = [line if isinstance(line, bytes) else line.encode() for line in head]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"\r\n".join(raw) + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())


class Sibling:
    """A service behind a gateway. Remembers the requests that reach it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        remember = self.seen.append

        class Service(BaseHTTPRequestHandler):
            def __getattr__(self, name: str) -> Any:
                """Return the same for every method."""
                if not name.startswith("do_"):
                    raise AttributeError(name)
                return self.answer

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = [(name.lower(), value) for name, value in self.headers.items()]
                asked = {"method": self.command, "path": self.path, "headers": headers}
                remember({**asked, "body": len(body)})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever).start()

    def take(self) -> list[dict[str, Any]]:
        """Return the requests since the last call."""
        seen = [*self.seen]
        self.seen.clear()
        return seen

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def gateway(
    name: str,
    folder: Path,
    *,
    service: int,
    sibling: int,
    token: str,
    changed: Sequence[tuple[str, str]] = (),
) -> Iterator[int]:
    """Run a gateway between clients and `sibling`, asking `service`. Yield its port.

    `changed` are replacements in its files.
    """
    port = free_port()

    def documented(file: str, *changes: tuple[str, str]) -> str:
        """Return the file with other ports, its changes made."""
        text = (FOLDER / file).read_text()
        for old, new in (*changed, *changes):
            text = text.replace(old, new)
        return text.replace(":8000", f":{service}").replace(":9000", f":{sibling}")

    os.environ |= {"REACHSCORE_TOKEN": token, "XDG_DATA_HOME": str(folder)}
    os.environ["XDG_CONFIG_HOME"] = str(folder)  # Where Caddy keeps what it was told.
    if name == "nginx":
        text = documented(
            "nginx.conf",
            ("listen 443 ssl", f"listen 127.0.0.1:{port}"),
            ("/etc/nginx/", f"{folder}/"),
        )
        text = re.sub(r"\n *ssl_.*", "", text)
        (folder / "reachscore-token.conf").write_text(
            f'map "" $reachscore_token {{ default {token}; }}'
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;"
            f"{user} events {{}} http {{ access_log off; {temporary}\n{text}\n}}"
        )
        command = ["-p", str(folder), "-c", str(config)]
    elif name == "Caddy":
        text = documented("Caddyfile", ("tests.example.com", f"http://127.0.0.1:{port}"))
        config = folder / "Caddyfile"
        config.write_text(f"{{\n\tadmin off\n}}\n{text}")
        command = ["run", "--config", str(config), "--adapter", "caddyfile"]
    else:
        (folder / "reachscore.lua").write_text(documented("reachscore.lua"))
        text = documented(
            "haproxy.cfg",
            ("bind :443 ssl crt /etc/haproxy/tests.pem", f"bind 127.0.0.1:{port}"),
            ("/etc/haproxy/", f"{folder}/"),
        )
        config = folder / "haproxy.cfg"
        config.write_text(text)
        command = ["-db", "-f", str(config)]
    program = PROGRAMS[name]
    assert program
    running = Proxy([program, *command], port)
    try:
        yield port
    finally:
        running.stop()
