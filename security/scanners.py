"""Let secret scanners find fresh keys with the files of /scanner-rules/, and their own rules on.

Each must find all 500, in ten kinds of files, must take none for Stripe's, and no near miss for one
of ours. Then kingfisher checks and revokes a key, at a stub of the API. Nothing leaves the machine.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402

django.setup()
logging.disable(logging.INFO)

from django.test import Client, override_settings  # noqa: E402

from apikeys.plaintext import new_plaintext  # noqa: E402
from tests.support.exposed import CONTEXTS, GLUED, near_misses  # noqa: E402
from web.output.scanner_rules import RULE_FILES  # noqa: E402

BIN = ROOT / ".venv-security" / "bin"
EACH = 50
NO_CALLS_DROPPED = "--disable-filter=detect_secrets.filters.heuristic.is_indirect_reference"
BETTERLEAKS = """
import json, pybetterleaks
found = pybetterleaks.scan_dir(".", config_path=".gitleaks.toml", redact=False, raise_on_error=True)
print(json.dumps([(each.rule_id, each.secret) for each in found.findings]))
"""

Found = set[tuple[str, str]]  # The scanner's name of a rule, and what it found.


class Api(BaseHTTPRequestHandler):
    """Answers as the service does: a live key, and a leak report that was taken."""

    seen: list[tuple[str, str, str | None, bytes]] = []

    def answer(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.seen.append((self.command, self.path, self.headers["Authorization"], body))
        self.send_response(200 if self.command == "GET" else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def run(*command: str, cwd: Path, code: int = 0) -> str:
    """Return what a program prints. Exit with it if it does not end with this code."""
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(cwd), "KF_RULE_CACHE_DIR": str(cwd)}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=180)
    if done.returncode != code:
        sys.exit(f"{' '.join(command[:3])} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def kingfisher(folder: Path) -> Found:
    rules = ("--rules-path", RULE_FILES["kingfisher"]["file"])
    offline = ("--no-validate", "--no-update-check", "--quiet", "--format", "json")
    report = run("kingfisher", "scan", *rules, *offline, "files", cwd=folder, code=200)
    findings = json.loads(report)["findings"]
    return {(each["rule"]["id"], each["finding"]["snippet"]) for each in findings}


def betterleaks(folder: Path) -> Found:
    return {tuple(each) for each in json.loads(run("python", "-c", BETTERLEAKS, cwd=folder))}


def detect_secrets(folder: Path, *more: str) -> Found:
    rules = ("-p", RULE_FILES["detect-secrets"]["file"])
    report = json.loads(run("detect-secrets", "scan", "--all-files", *rules, *more, "files", cwd=folder))
    found = [each for file in report["results"].values() for each in file]
    texts = {hashlib.sha1(text.encode()).hexdigest(): text for text in (*keys, *glued, *near)}
    return {(each["type"], texts.get(each["hashed_secret"], "")) for each in found}


def detect_secrets_with_its_flag(folder: Path) -> Found:
    return detect_secrets(folder, NO_CALLS_DROPPED)


def secretlint(folder: Path) -> Found:
    (folder / "node_modules").symlink_to(BIN.parent / "node" / "node_modules")
    program = str(folder / "node_modules/.bin/secretlint")
    report = run(program, "--no-maskSecrets", "--format", "json", "files/*", cwd=folder, code=1)
    messages = [each for file in json.loads(report) for each in file["messages"]]
    return {
        (each["data"].get("PATTERN_NAME", each["ruleId"]), each["message"].split(": ")[-1])
        for each in messages
    }


def check(scanner, folder: Path) -> str:
    """Return a line of the report. Exit if the scanner found less, or more, than it should."""
    began = time.monotonic()
    found = scanner(folder)
    ours = {text for rule, text in found if "reachscore" in rule.lower()}
    stripes = {text for rule, text in found if "stripe" in rule.lower()}
    expected = keys | glued
    if scanner is detect_secrets:  # Without the flag it drops calls, as the page says.
        calls = (folder / "files" / "client.py").read_text()
        expected = {key for key in expected if key not in calls}
    if ours != expected or stripes & (keys | glued) or not stripes & near:
        sys.exit(
            f"{scanner.__name__}: {len(ours & keys)} of {len(keys)} keys, {len(ours & glued)} of {len(glued)}"
            f" behind a letter, {len(ours - keys - glued)} others, {len(stripes - near)} called Stripe's"
        )
    seconds = time.monotonic() - began
    return f"{scanner.__name__}: {len(ours & keys)} of {len(keys)}, 0 called Stripe's, {seconds:.1f} s"


def revoke(folder: Path) -> str:
    """Let kingfisher ask if a key is alive, and revoke it."""
    key = next(iter(keys))
    rule = ("--rules-path", RULE_FILES["kingfisher"]["file"], "--rule", "custom.reachscore.api-key")
    local = ("--no-builtins", "--allow-internal-ips", "--no-update-check")
    for verb, said in (("validate", "VALID"), ("revoke", "REVOKED")):
        assert f"Result:   {said}\n" in run("kingfisher", verb, *rule, *local, key, cwd=folder)
    asked = ("GET", "/v1/auth/me", f"Bearer {key}", b"")
    assert Api.seen == [asked, ("POST", "/v1/revoke_exposed", None, b'{"keys": ["%s"]}' % key.encode())]
    return "kingfisher: revoked a key"


def written(folder: Path, lines: dict[str, str]) -> set[str]:
    """Write a file for each line, with fresh keys in it. Return the keys."""
    made = set()
    for name, line in lines.items():
        fresh = [new_plaintext(livemode=number % 2 == 0) for number in range(EACH)]
        text = "\n".join(line.format(key=key, n=number) for number, key in enumerate(fresh))
        (folder / name).write_text(f"{text}\n")
        made |= set(fresh)
    return made


began = time.monotonic()
stub = HTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=stub.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    with override_settings(PUBLIC_URL=f"http://127.0.0.1:{stub.server_port}"):
        for tool, row in RULE_FILES.items():
            (folder / row["file"]).write_bytes(Client().get(f"/scanner-rules/{tool}").content)
    files = folder / "files"
    files.mkdir()
    keys = written(files, CONTEXTS)
    glued = written(files, {f"{number}.log": line for number, line in enumerate(GLUED)})
    near = set(near_misses())
    (files / "near.env").write_text("".join(f'KEY_{n}="{each}"\n' for n, each in enumerate(near)))
    scanners = (kingfisher, betterleaks, detect_secrets, detect_secrets_with_its_flag, secretlint)
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(lambda scanner: check(scanner, folder), scanners):
            print(line)
    print(revoke(folder))
print(f"{time.monotonic() - began:.0f} s")
