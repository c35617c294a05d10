"""Tests of `/metrics`: shut without its token, summed over all workers, free of client text."""

import io
import os
import re
import secrets
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import time_machine
from django.db import OperationalError
from django.test import SimpleTestCase, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from apikeys.plaintext import new_plaintext
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from reachscore.server import metrics_folder
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.demo_server import ROOT, free_port, manage
from tests.support.waiting import until

TOKEN = "a-token-of-the-tests"
Samples = dict[tuple[str, str], float]


def samples(text: str) -> Samples:
    """Parse the exposition; return each sample's value by its name and label values."""
    return {
        (sample.name, " ".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class MetricsTokenTests(SimpleTestCase):
    @override_settings(METRICS_TOKEN="")
    def test_metrics_without_a_configured_token_are_a_plain_404(self):
        for method in ("get", "head", "post", "options", "delete"):
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}"}):
                with self.subTest(method=method, headers=headers):
                    there = getattr(self.client, method)("/metrics", headers=headers)
                    nowhere = getattr(self.client, method)("/nowhere", headers=headers)
                    self.assertEqual(there.status_code, 404)
                    self.assertEqual(there.content, nowhere.content)
                    names = [sorted(response.headers) for response in (there, nowhere)]
                    self.assertEqual(*names)

    @override_settings(METRICS_TOKEN=TOKEN)
    def test_metrics_open_to_the_token_only(self):
        response = self.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        self.assertEqual(response.status_code, 200)
        self.assertTrue(response["Content-Type"].startswith("text/plain; version="))
        self.assertIn("no-store", response["Cache-Control"])
        for sent in (
            None,
            "",
            TOKEN,
            "Bearer",
            f"Basic {TOKEN}",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN}x",
            "Bearer ä\ud800\udce4",
            f"Bearer  {TOKEN}",
        ):
            with self.subTest(ascii(sent)):
                extra: dict[str, Any] = {} if sent is None else {"HTTP_AUTHORIZATION": sent}
                response = self.client.get("/metrics", **extra)
                self.assertEqual(response.status_code, 401)
                self.assertEqual(response["WWW-Authenticate"], 'Bearer realm="metrics"')
                self.assertNotIn("reachscore", response.content.decode())


@override_settings(METRICS_TOKEN=TOKEN)
class CountTests(ApiTestCase):
    def scrape(self) -> str:
        answer = self.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        return answer.content.decode()

    def counted(self, act: Callable[[], object]) -> Samples:
        """Return what `act` added, without the scrapes' own route."""
        before = samples(self.scrape())
        act()
        after = samples(self.scrape())
        return {
            sample: value - before.get(sample, 0)
            for sample, value in after.items()
            if value != before.get(sample, 0) and not sample[1].startswith("metrics")
        }

    def test_metrics_count_requests_by_route_and_status_with_their_time(self):
        _, client = self.issue()

        def act() -> None:
            for path in ("/v1/auth/me", "/v1/auth/me", "/v1/auth/me?a=b", "/nowhere"):
                client.get(path)

        counted = self.counted(act)
        self.assertEqual(counted["reachscore_requests_total", "v1/auth/me 200"], 2)
        self.assertEqual(counted["reachscore_requests_total", "v1/auth/me 400"], 1)
        self.assertEqual(counted["reachscore_requests_total", "unknown 404"], 1)
        self.assertEqual(counted["reachscore_request_seconds_count", "v1/auth/me"], 3)
        self.assertEqual(counted["reachscore_request_seconds_bucket", "+Inf v1/auth/me"], 3)
        self.assertGreater(counted["reachscore_request_seconds_sum", "v1/auth/me"], 0)

    def test_metrics_count_authentications_by_result(self):
        expiring, late = self.issue(expires_at=timezone.now() + timedelta(minutes=5))
        _, stranger = self.issue(organization=self.globex)
        self.globex.suspend(actor=Actor.cli(), reason="unpaid")

        def act() -> None:
            late.get("/v1/auth/me")
            stranger.get("/v1/auth/me")
            self.client.get("/v1/auth/me")
            ApiClient(new_plaintext(livemode=True)).get("/v1/auth/me")
            ApiClient("nonsense").get("/v1/auth/me")
            with time_machine.travel(expiring.expires_at):
                late.get("/v1/auth/me")

        counted = self.counted(act)
        name = "reachscore_authentications_total"
        self.assertEqual(
            {labels: value for (sample, labels), value in counted.items() if sample == name},
            {
                "ok": 1,
                "organization_suspended": 1,
                "api_key_missing": 1,
                "api_key_invalid": 2,
                "api_key_expired": 1,
            },
        )

    def test_metrics_count_each_issued_and_revoked_key_once(self):
        _, client = self.issue()

        def act() -> None:
            client.send("/v1/keys", {"name": "a"})
            client.send("/v1/keys", {"name": ""})
            api_key, _ = self.issue()
            revoke(api_key, actor=Actor.cli())
            revoke(api_key, actor=Actor.cli())

        counted = self.counted(act)
        self.assertEqual(counted["reachscore_keys_total", "issued"], 2)
        self.assertEqual(counted["reachscore_keys_total", "revoked"], 1)

    def test_metrics_count_database_errors_of_api_pages_and_readyz(self):
        _, client = self.issue()
        browser = self.staff()
        for broken, url in [
            ("apikeys.authentication.caller.Caller.auth_context", "/v1/auth/me"),
            ("staff.keys.keys.ApiKeyAdmin.get_queryset", "/admin/apikeys/apikey/"),
            ("reachscore.health._problems", "/readyz"),
        ]:
            with self.subTest(url), mock.patch(broken, side_effect=OperationalError):
                caller = browser if "admin" in url else client
                caller.raise_request_exception = False

                def act(caller=caller, url=url) -> None:
                    self.assertGreaterEqual(caller.get(url).status_code, 500)

                counted = self.counted(act)
                self.assertEqual(counted["reachscore_database_errors_total", "operational"], 1)

    def test_metrics_have_no_label_from_a_client(self):
        key = new_plaintext(livemode=True)
        for path in (f"/x-marks/{key}", "/v1/x-marks", "/admin/x-marks/", "/admin/r/7/x-marks/"):
            for client in (ApiClient(key), ApiClient("x-marks"), self.staff()):
                client.get(path, {"q": "x-marks"}, headers={"User-Agent": "x-marks"})
                client.generic("X-MARKS", path)
        self.client.get("/readyz")
        text = self.scrape()
        self.assertNotIn("marks", text.lower())
        self.assertNotIn(key[17:], text)
        names = {
            name
            for sample in re.findall(r"\{(.*)\}", text)
            for name in re.findall(r'(\w+)="', sample)
        }
        ours = {"route", "status", "le", "result", "verb", "error", "kind", "lane", "origin"}
        self.assertLessEqual(names, ours)


@contextmanager
def serving(
    port: int, workers: int, *, prefix: Sequence[str] = (), **environ: str
) -> Iterator["subprocess.Popen[str]"]:
    """Run `manage.py serve` on the tests' cluster until the block ends."""
    assert manage("migrate", "-v0").returncode == 0
    command = [sys.executable, "manage.py", "serve", f"--port={port}", f"--workers={workers}"]
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environ}
    server = subprocess.Popen(
        [*prefix, *command],
        cwd=ROOT,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        until(lambda: fetch(port, "/healthz")[0] == 200 or server.poll() is not None)
        assert server.poll() is None
        yield server
    finally:
        if server.poll() is None:
            server.terminate()  # Not killed: its workers would live on, and hold the pipe.
            server.communicate(timeout=120)


def fetch(port: int, path: str, **headers: str) -> tuple[int, str]:
    """GET over a new connection, so that any worker may answer; return status 0 if none does."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except OSError:
        return 0, ""


def test_metrics_are_the_sum_of_all_workers_and_leave_no_file(tmp_path: Path) -> None:
    port = free_port()
    with serving(port, 3, METRICS_TOKEN=TOKEN, TMPDIR=str(tmp_path)) as server:
        for _ in range(60):
            assert fetch(port, "/v1/auth/me")[0] == 401
        for _ in range(6):
            status, text = fetch(port, "/metrics", Authorization=f"Bearer {TOKEN}")
            assert status == 200
            read = samples(text)
            assert read["reachscore_requests_total", "v1/auth/me 401"] == 60
            assert read["reachscore_request_seconds_count", "v1/auth/me"] == 60
            assert read["reachscore_authentications_total", "api_key_missing"] == 60
        assert fetch(port, "/metrics")[0] == 401

        (folder,) = tmp_path.glob("reachscore-metrics-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(list(folder.glob("counter_*.db"))) > 1

        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=120)
    assert list(tmp_path.iterdir()) == []
    # Each worker wrote what it had counted before it ended.
    counts = re.findall(r"'reason': 'api_key_missing', 'address': '127.0.0.1', 'count': (\d+)", log)
    assert sum(map(int, counts)) == 60, log


# Runs a command with a file system of 16 KiB, four pages, on $TMPDIR.
UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
MOUNT = "mount -t tmpfs -o size=16k tmpfs $TMPDIR"


def can_mount(folder: Path) -> bool:
    environ = {**os.environ, "TMPDIR": str(folder)}
    try:
        return (
            subprocess.run([*UNSHARE, "sh", "-c", MOUNT], env=environ, check=False).returncode == 0
        )
    except OSError:
        return False


def test_full_disk_costs_metrics_and_no_request(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("This machine lets nobody mount a file system of their own.")
    port = free_port()
    prefix = [*UNSHARE, "sh", "-c", f'{MOUNT} && exec "$@"', "sh"]
    paths = ("/v1/auth/me", "/healthz", "/v1/keys", "/docs", "/docs/errors", "/nowhere")
    with serving(port, 2, prefix=prefix, METRICS_TOKEN=TOKEN, TMPDIR=str(tmp_path)) as server:
        for _ in range(10):
            answers = [fetch(port, path)[0] for path in paths]
            assert answers == [401, 200, 401, 200, 200, 404]
        assert fetch(port, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=120)
    missing = "Metrics are missing until a restart: No space left on device."
    assert 1 <= log.count(missing) <= 2, log  # At most a line a worker.


class MetricFileTests(SimpleTestCase):
    def run_worker(self, code: str, folder: str) -> None:
        """Run `code` in a process with `metrics`, whose values are kept in `folder`."""
        done = subprocess.run(
            [sys.executable, "-c", f"from web.telemetry import metrics\n{code}"],
            cwd=ROOT,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_empty_or_torn_metric_file_is_left_out_of_the_scrape(self):
        with tempfile.TemporaryDirectory() as folder:
            self.run_worker("for n in range(3): metrics.count_authentication('ok')", folder)
            (whole,) = Path(folder).glob("counter_*.db")
            (size,) = struct.unpack_from("i", whole.read_bytes())
            torn = {
                "counter_1.db": b"",
                "counter_2.db": whole.read_bytes()[:3],
                "counter_3.db": whole.read_bytes()[: size - 20],
                "counter_4.db": struct.pack("i", 2**30) + whole.read_bytes()[4:],
                "counter_5.db": struct.pack("ixxxxi", 4096, -9) + bytes(4096),
                "counter_6.db": struct.pack("i", size) + secrets.token_bytes(size),
                "counter_7.db": struct.pack("ixxxxi4s", 64, 4, b"1234") + bytes(64),
                "counter_8.db": struct.pack("ixxxxi4s", 64, 4, b"[]  ") + bytes(64),
                "histogram_9.db": struct.pack("ixxxxi4s", 64, 4, b"\xff{}1") + bytes(64),
                "counter_10.db": bytes(2**16),
            }
            for name, content in torn.items():
                Path(folder, name).write_bytes(content)
            Path(folder, "counter_11.db").mkdir()
            with (
                mock.patch.dict(os.environ, {"PROMETHEUS_MULTIPROC_DIR": folder}),
                override_settings(METRICS_TOKEN=TOKEN),
                self.assertLogs("reachscore.metrics", "WARNING") as logs,
            ):
                for _ in range(2):
                    answer = self.client.get(
                        "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
                    )
                    read = samples(answer.content.decode())
                    self.assertEqual(read["reachscore_authentications_total", "ok"], 3)
            self.assertEqual(len(logs.output), len(torn))  # The blank one is whole, the folder not.
            shutil.rmtree(folder)
            with (
                mock.patch.dict(os.environ, {"PROMETHEUS_MULTIPROC_DIR": folder}),
                override_settings(METRICS_TOKEN=TOKEN),
            ):
                answer = self.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            self.assertEqual(answer.status_code, 200)
            os.mkdir(folder)

    def test_metric_file_has_its_space_allocated_before_it_is_written(self):
        code = "for n in range(400): metrics.count_request(route=str(n), status=200, seconds=1)"
        with tempfile.TemporaryDirectory() as folder:
            self.run_worker(code, folder)
            for file in Path(folder).iterdir():
                self.assertGreaterEqual(file.stat().st_blocks * 512, file.stat().st_size)
            (grown,) = Path(folder).glob("histogram_*.db")
            self.assertGreater(grown.stat().st_size, 2**19)

    def test_server_without_a_temporary_folder_serves_without_metrics(self):
        with (
            mock.patch.dict(os.environ, {"METRICS_TOKEN": TOKEN}),
            mock.patch("tempfile.mkdtemp", side_effect=OSError(28, "No space left on device")),
            mock.patch("sys.stderr", io.StringIO()) as stderr,
            metrics_folder(),
        ):
            self.assertNotIn("METRICS_TOKEN", os.environ)
            self.assertNotIn("PROMETHEUS_MULTIPROC_DIR", os.environ)
        self.assertIn("Metrics are off", stderr.getvalue())


def test_server_without_a_metrics_token_makes_no_folder(tmp_path: Path) -> None:
    port = free_port()
    with serving(port, 1, TMPDIR=str(tmp_path)):
        assert fetch(port, "/metrics")[0] == 404
        assert list(tmp_path.iterdir()) == []
