"""Use the OpenAPI document as strangers do: make clients of it, import it, put a proxy on it.

`make clients` runs it against the real server, within a minute and a half. Three generated clients
live through a key's whole life, and survive codes and values of tomorrow. Postman's conversion is
sent as it stands, in the document's order.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.settings  # noqa: E402, F401 - chooses the cluster that the server is to use
from tests.support.demo_server import DemoServer, manage  # noqa: E402
from tests.support.guides import readers  # noqa: E402

BIN = ROOT / ".venv-security" / "bin"
SESSIONS = ROOT / "security" / "sessions"
ENVIRON = {**os.environ, "PATH": f"{BIN}:{BIN.parent}/node/node_modules/.bin:{os.environ['PATH']}"}

# The key that the document's examples are about.
MAKE_KEY = """
from accounts.models import Organization
from apikeys.models import ApiKey
from apikeys.verbs.issue import issue
from audit.actor import Actor

organization = Organization.objects.get()
key = ApiKey(id="{id}", organization=organization, livemode=True, name="Of the examples")
issue(key, actor=Actor.system())
"""


def run(*command: str, cwd: Path, **environ: str) -> str:
    """Run a program; return its output. Exit with it if the program fails."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRON | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stdout}")
    print(f"{Path(command[0]).name}: {time.monotonic() - began:.1f} s", flush=True)
    return done.stdout


def ask(url: str, key: str = "") -> dict:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


class Tomorrow(BaseHTTPRequestHandler):
    """Answers as a later version could: with a new error code, new values and new fields."""

    keys: object
    error = {
        "type": "type_of_tomorrow",
        "code": "code_of_tomorrow",
        "message": "Not today.",
        "fix": "Wait.",
        "doc_url": "https://api.reachscore.co/docs/errors#code_of_tomorrow",
        "request_id": "req_7Hq2mVb9TzXc",
        "field_of_tomorrow": True,
    }

    def do_GET(self):
        is_list = self.path.startswith("/v1/keys")
        body = json.dumps(self.keys if is_list else {"error": self.error}).encode()
        self.send_response(200 if is_list else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def of_tomorrow(keys: dict) -> dict:
    """Return a list of one key with a status, an actor and a field that no client knows."""
    strange = {"status": "hibernating", "created_by": "robot:1", "field_of_tomorrow": {"a": [1]}}
    return {**keys, "data": [keys["data"][0] | strange]}


def linters(folder: Path, **_: str) -> None:
    """Lint the document; a warning that the rules do not name fails, too."""
    for command in (
        ("redocly", "lint", "--config", f"{ROOT}/security/redocly.yaml"),
        ("spectral", "lint", "--fail-severity=warn", "--ruleset", f"{ROOT}/security/spectral.yaml"),
    ):
        run(*command, "openapi.json", cwd=folder, REDOCLY_TELEMETRY="off")


def openapi_python_client(folder: Path, **environ: str) -> None:
    package = folder / "client_of_openapi_python_client"
    made = ("--output-path", str(package), "--meta", "none")
    run("openapi-python-client", "generate", "--path", "openapi.json", *made, cwd=folder)
    session = SESSIONS / "openapi_python_client.py"
    run(str(BIN / "python"), str(session), cwd=folder, PYTHONPATH=str(folder), **environ)


def openapi_generator(folder: Path, **environ: str) -> None:
    made = ("-g", "python", "-o", "generated", "--package-name", "client_of_openapi_generator")
    run("openapi-generator-cli", "generate", "-i", "openapi.json", *made, cwd=folder)
    session, path = SESSIONS / "openapi_generator.py", folder / "generated"
    run(str(BIN / "python"), str(session), cwd=folder, PYTHONPATH=str(path), **environ)


def openapi_typescript(folder: Path, **environ: str) -> None:
    run("openapi-typescript", "openapi.json", "-o", "schema.d.ts", cwd=folder)
    (folder / "session.mts").write_text((SESSIONS / "session.ts").read_text())
    strict = ("--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess")
    kind = ("--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom")
    run("tsc", *strict, *kind, "--noEmitOnError", "session.mts", cwd=folder)
    run("node", "session.mjs", cwd=folder, **environ)


def postman(folder: Path, **environ: str) -> None:
    """Send the converted collection in the document's order; each answer must be a success.

    Values are the document's examples, and parameters that may be left out are (a list takes one
    cursor, not two).
    """
    chosen = "folderStrategy=Tags,parametersResolution=Example,enableOptionalParameters=false"
    made = ("-o", "collection.json", "-O", chosen)
    run("openapi2postmanv2", "-s", "openapi.json", *made, cwd=folder)
    collection = json.loads((folder / "collection.json").read_text())
    success = 'pm.test("success", () => pm.expect(pm.response.code).to.be.below(300));'
    collection["event"] = [{"listen": "test", "script": {"exec": [success]}}]
    (folder / "collection.json").write_text(json.dumps(collection))
    variables = {"baseUrl": environ["URL"], "bearerToken": environ["KEY"]}
    options = [part for item in variables.items() for part in ("--env-var", "=".join(item))]
    report = run("newman", "run", "collection.json", *options, cwd=folder)
    print(*re.findall(r"^  (?:GET|POST|PATCH|DELETE) .*", report, re.MULTILINE), sep="\n")


def main() -> None:
    began = time.monotonic()
    with DemoServer() as server, tempfile.TemporaryDirectory() as scratch:
        key, folder = server.key("live"), Path(scratch)
        document = ask(f"{server.url}/v1/openapi.json")
        id_of_examples = document["components"]["parameters"]["key_id"]["example"]
        made = manage("shell", "-v", "0", "-c", MAKE_KEY.format(id=id_of_examples))
        assert made.returncode == 0, made.stderr
        # Each session has an organization to itself: it checks whole lists, and two run at a time.
        sessions = (openapi_generator, openapi_python_client, openapi_typescript)
        own = {it: reader.key for it, reader in zip(sessions, readers(server.port, 3), strict=True)}
        (folder / "openapi.json").write_text(json.dumps(document))
        Tomorrow.keys = of_tomorrow(ask(f"{server.url}/v1/keys", key))
        stub = ThreadingHTTPServer(("127.0.0.1", 0), Tomorrow)
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        environ = {"URL": server.url, "STUB": f"http://127.0.0.1:{stub.server_port}"}
        with ThreadPoolExecutor(2) as pool:
            for client in [
                pool.submit(client, folder, **environ, KEY=own.get(client, key))
                for client in (*sessions, linters, postman)
            ]:
                client.result()
    print(f"{time.monotonic() - began:.0f} s")


main()
