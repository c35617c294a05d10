"""Run schemathesis over the OpenAPI document against the real server, with a live and a test key.

All checks on; `make fuzz` runs it, within three minutes. Exits 1 when it finds something. The cases
are the same each time, so that a failure in CI belongs to the change; FUZZ_SEED=2 asks for others.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.settings  # noqa: E402, F401 - chooses the cluster that the server is to use
from tests.support.demo_server import DemoServer, manage  # noqa: E402

SECONDS_EACH = 45
WITHOUT_KEY = "/v1/revoke_exposed"  # It refuses a request with one.


def who_is(url: str, key: str) -> dict[str, object]:
    me = urllib.request.Request(f"{url}/v1/auth/me", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(me) as response:
        return json.load(response)


def fuzz(url: str, *options: str, own_id: str = "") -> int:
    """Run schemathesis with these options; return its exit code."""
    command = (
        *(".venv-security/bin/schemathesis", "run", f"{url}/v1/openapi.json", "--url", url),
        *("--checks", "all", "--max-examples", "200", "--max-time", str(SECONDS_EACH)),
        # A key that was revoked is still there to be looked at: that is what DELETE does.
        *("--exclude-checks", "use_after_free", *options),
        *("--seed", os.environ.get("FUZZ_SEED", "1"), "--no-color"),
    )
    more = {"SCHEMATHESIS_HOOKS": "security.schemathesis_hooks", "FUZZ_OWN_ID": own_id}
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, check=False).returncode


with DemoServer() as server:
    callers = {mode: who_is(server.url, server.key(mode)) for mode in ("live", "test")}
    organization = callers["live"]["organization"]["id"]
    # Without a limit: a 429 would hide everything else.
    manage("change_plan", organization, "--plan", "enterprise", "--reason", "fuzzing")
    codes = [
        fuzz(
            server.url,
            *(
                "--header",
                f"Authorization: Bearer {server.key(mode)}",
                "--exclude-path",
                WITHOUT_KEY,
            ),
            own_id=str(caller["key_id"]),
        )
        for mode, caller in callers.items()
    ]
    codes.append(fuzz(server.url, "--include-path", WITHOUT_KEY))
    bugs = [
        line for line in server.output.splitlines() if "Traceback" in line or "Bug behind" in line
    ]
print(*bugs, sep="\n")
sys.exit(1 if any(codes) or bugs else 0)
