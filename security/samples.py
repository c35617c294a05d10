"""Run the samples of the guides in Python and JavaScript against the real server.

Each must print what its page shows. tests/server/test_guides.py runs those of curl. Then those of
Python run again through prism, which compares each request and answer with the OpenAPI document.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.settings  # noqa: E402, F401 - chooses the cluster that the server is to use
from tests.support.demo_server import DemoServer, free_port  # noqa: E402
from tests.support.guides import DOCS, Mismatch, Runner, guides, readers, samples  # noqa: E402

PYTHON = """
import json, os, sys, traceback
for line in sys.stdin:
    sample = json.loads(line)
    os.environ.update(sample["environ"])
    try:
        exec(compile(sample["code"], "sample", "exec"), {"__name__": "__main__"})
    except Exception:
        traceback.print_exc(file=sys.stdout)
    print("\\0", flush=True)
"""
# The line number makes the same code a module of its own: modules are imported once.
JAVASCRIPT = """
import { createInterface } from "node:readline";
let number = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { code, environ } = JSON.parse(line);
  Object.assign(process.env, environ);
  const source = Buffer.from(`${code}\\n// ${number++}`).toString("base64");
  try {
    await import(`data:text/javascript;base64,${source}`);
  } catch (error) {
    console.log(error.stack);
  }
  console.log("\\0");
}
"""
COMMANDS = {
    "python": (".venv-security/bin/python", "-I", "-c", PYTHON),
    "javascript": (".venv-security/bin/node", "--input-type=module", "-e", JAVASCRIPT),
}

BIN = ROOT / ".venv-security" / "bin"


class Prism:
    """A proxy that compares what passes with the OpenAPI document. It is up when entered."""

    def __init__(self, upstream: str) -> None:
        self.upstream, self.port = upstream, free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Prism":
        self.folder = tempfile.TemporaryDirectory()
        document, self.log = (Path(self.folder.name, name) for name in ("openapi.json", "log"))
        urllib.request.urlretrieve(f"{self.upstream}/v1/openapi.json", document)
        command = (BIN.parent / "node/node_modules/.bin/prism", "proxy", document, self.upstream)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while "is listening" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.folder.cleanup()

    def violations(self) -> Iterator[str]:
        """Yield what fits no rule of the document: in answers, and in requests that succeeded."""
        for exchange in self.log.read_text().split("Request received")[1:]:
            status = re.search(r"has returned (\d+)", exchange)
            for violation in re.findall(r"Violation: (.+)", exchange):
                if violation.startswith("response") or not status or int(status[1]) < 400:
                    yield f"{violation} ({exchange.splitlines()[1:3]})"


began = time.monotonic()
pages = {page.stem: list(samples(page.read_text(), page.stem)) for page in guides()}
quickstart = (DOCS / "guides/quickstart.md").read_text()
# The last scope is taken out of the samples, and the output shows it still.
broken = quickstart.replace('["tests:read", "tests:write"]}', '["tests:read"]}').replace(
    '["tests:read", "tests:write"] }', '["tests:read"] }'
)
with DemoServer() as server:
    waiting = readers(server.port, (len(COMMANDS) + 1) * (len(pages) + 1))
    for language, command in COMMANDS.items():
        with Runner(*command) as run:
            count = sum(waiting.pop().follow(page, language, run) for page in pages.values())
            print(f"{language}: {count} samples of {len(pages)} guides")
            try:
                waiting.pop().follow(samples(broken, "quickstart"), language, run)
            except Mismatch:
                continue
            sys.exit(f"A broken sample of {language} was not noticed.")
    upstream = waiting[0].url
    del pages["gateways"]  # The document is not about its addresses.
    with Prism(upstream) as prism, Runner(*COMMANDS["python"]) as run:

        def through_prism(code: str, environ: dict[str, str]) -> str:
            return run(code.replace(upstream, prism.url), environ)

        count = sum(waiting.pop().follow(it, "python", through_prism) for it in pages.values())
        violations = list(prism.violations())
        print(f"prism: {count} samples, {len(violations)} violations", *violations, sep="\n")
print(f"{time.monotonic() - began:.0f} s")
sys.exit(1 if violations else 0)
