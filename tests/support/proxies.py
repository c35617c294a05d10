"""The documented proxies in front of the service: nginx and HAProxy, as Debian has them."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.demo_server import ROOT, free_port
from tests.support.waiting import answers, until

SBIN = "/usr/sbin:/usr/local/sbin"
NGINX = shutil.which("nginx") or shutil.which("nginx", path=SBIN)
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path=SBIN)
DEPLOY_DOC = (ROOT / "docs" / "deploy.md").read_text()


class Proxy:
    """Runs a proxy until it is stopped, and sends requests through it."""

    def __init__(self, command: Sequence[str], port: int, *, plain_port: int = 0) -> None:
        self.port, self.plain_port = port, plain_port
        self.process = subprocess.Popen(command)
        until(lambda: answers(port))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def ask(self, path: str, key: str, body: object = None) -> int:
        """Send one request on a new connection; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {key}", "Host": "127.0.0.1"}
        try:
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                headers["Content-Type"] = "application/json"
                connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


def send(
    port: int, key: str, *lines: bytes, path: str = "/v1/auth/me", body: bytes = b""
) -> tuple[int, str]:
    """Send a GET, or a POST with a body, with these raw header lines; return status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = (
            f"{'POST' if body else 'GET'} {path} HTTP/1.1".encode(),
            *(b"Host: 127.0.0.1", b"Connection: close", b"Authorization: Bearer " + key.encode()),
            *lines,
            *(
                [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
                if body
                else []
            ),
        )
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read().decode()


def start_nginx(
    folder: Path,
    ports: Sequence[int],
    *,
    token: str = "unused",
    staff: tuple[str, int] | None = None,
    underscores: str = "off",
    read_timeout: str = "30s",
    upstream: str = "",
    cell: tuple[str, int] | None = None,
) -> Proxy:
    """Start nginx with deploy/nginx.conf, with other ports and without a certificate.

    `staff` is the token of single sign-on and the port of its identity provider. `upstream`
    replaces the instances on `ports`. `cell` is the first two characters of locators and the port
    of another installation, for deploy/cells/nginx.conf.
    """
    assert NGINX
    port, plain_port = free_port(), free_port()
    documented = (ROOT / "deploy" / "nginx.conf").read_text()
    if staff is not None:
        (block,) = re.findall(r"```nginx\n(.*?)```", DEPLOY_DOC, re.DOTALL)
        block = block.replace("TOKEN", staff[0]).replace(":4180", f":{staff[1]}")
        (folder / "reachscore-staff.conf").write_text(block.replace("$scheme", "$seen_scheme"))
    if upstream:
        documented = re.sub(r"upstream reachscore \{.*?\n\}", upstream, documented, flags=re.DOTALL)
    if cell is not None:
        cells = (ROOT / "deploy" / "cells" / "nginx.conf").read_text()
        cells = cells.replace("~^C2$", f"~^{cell[0]}$")
        cells = re.sub(r"10\.0\.2\.2\d:8000", f"127.0.0.1:{cell[1]}", cells)
        documented = cells + documented.replace("http://reachscore;", "http://$cell;")
    for documented_port, instance_port in zip((8000, 8001), ports, strict=not upstream):
        documented = documented.replace(f":{documented_port} ", f":{instance_port} ")
    documented = re.sub(r"\n *ssl_.*", "", documented)
    documented = documented.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    documented = documented.replace("listen 80", f"listen 127.0.0.1:{plain_port}")
    documented = documented.replace("$scheme", "$seen_scheme")
    documented = documented.replace(
        "underscores_in_headers off", f"underscores_in_headers {underscores}"
    )
    documented = documented.replace("proxy_read_timeout 30s", f"proxy_read_timeout {read_timeout}")
    documented = documented.replace("/var/log/nginx/", f"{folder}/")
    documented = documented.replace("/etc/nginx/", f"{folder}/")
    (folder / "reachscore-token.conf").write_text(
        f'map "" $reachscore_token {{ default {token}; }}\n'
        f"map $server_port $seen_scheme {{ default http; {port} https; }}\n"
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # nginx' workers write larger bodies here; the parent folder may be closed to them.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        f"{user} events {{}} http {{ {temporary}\n{documented}\n}}"
    )
    return Proxy([NGINX, "-p", str(folder), "-c", str(config)], port, plain_port=plain_port)


def start_haproxy(folder: Path, port: int, *, token: str) -> Proxy:
    """Start HAProxy with the line of docs/deploy.md, passing header names on as sent."""
    assert HAPROXY
    listening = free_port()
    (line,) = re.findall(r"http-request set-header ReachScore-Gateway .*", DEPLOY_DOC)
    line = line.replace("TOKEN", token).replace("%[ssl_fc,iif(https,http)]", "https")
    config = folder / "haproxy.cfg"
    config.write_text(f"""
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
listen reachscore
    bind 127.0.0.1:{listening}
    {line}
    server one 127.0.0.1:{port}
""")
    return Proxy([HAPROXY, "-db", "-f", str(config)], listening)
