"""Run the samples of the guides in Python and JavaScript against the real server.

Each must print what its page shows. tests/server/test_guides.py runs those of curl.
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.settings  # noqa: E402, F401 - chooses the cluster that the server is to use
from tests.support.demo_server import DemoServer  # noqa: E402
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

began = time.monotonic()
pages = {page.stem: list(samples(page.read_text(), page.stem)) for page in guides()}
quickstart = (DOCS / "guides/quickstart.md").read_text()
# The last scope is taken out of the samples, and the output shows it still.
broken = quickstart.replace('["tests:read", "tests:write"]}', '["tests:read"]}').replace(
    '["tests:read", "tests:write"] }', '["tests:read"] }'
)
with DemoServer() as server:
    waiting = readers(server.port, len(COMMANDS) * (len(pages) + 1))
    for language, command in COMMANDS.items():
        with Runner(*command) as run:
            count = sum(waiting.pop().follow(page, language, run) for page in pages.values())
            print(f"{language}: {count} samples of {len(pages)} guides")
            try:
                waiting.pop().follow(samples(broken, "quickstart"), language, run)
            except Mismatch:
                continue
            sys.exit(f"A broken sample of {language} was not noticed.")
print(f"{time.monotonic() - began:.0f} s")
