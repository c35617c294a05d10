"""Samples the product while it answers, in this very process: `python -m bench.profiled FILE N`.

The sampler interrupts after each millisecond of processor time, so that waiting for PostgreSQL is
not in its samples; it is what the clock shows beside. Prints JSON.
"""

import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final
from wsgiref.util import setup_testing_defaults

# Which part of the service a line of code belongs to, by its file: the first that fits a frame,
# from the innermost outwards, has the sample.
GROUPS: Final = {
    "psycopg: parameters, statement, row": "/psycopg/ /psycopg_binary/",
    "Django's cursor and connection": "/django/db/",
    "log line": "/logging/__init__ /web/telemetry/logs /web/redaction /web/telemetry/request_log",
    "metrics": "/prometheus_client/ /web/telemetry/metrics",
    "JSON of the answer": "/web/json_bytes /json/",
    "the door: environ, rules, headers": "/authentication/door /web/environ /web/context /web/ids",
    "proxies: address and scheme": "/web/proxies /ipaddress.",
    "authentication: our Python": "/apikeys/ /accounts/ /hmac. /web/",
    "Django's settings and connections": "/django/ /asgiref/",
}


def main() -> None:
    keys = [line.split("\t")[2] for line in Path(sys.argv[1]).read_text().splitlines()]
    requests, samples = int(sys.argv[2]), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # As reachscore.server does.
        from reachscore.wsgi import application  # noqa: PLC0415 - reads that variable

        call(application, keys, 500)
        clock, processor = time.perf_counter(), time.thread_time()
        call(application, keys, requests)
        clock, processor = time.perf_counter() - clock, time.thread_time() - processor
        signal.signal(signal.SIGPROF, lambda _, frame: samples.update([group_of(frame)]))
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        call(application, keys, requests)
        signal.setitimer(signal.ITIMER_PROF, 0)
    told = {"clock_ms": clock / requests * 1000, "cpu_ms": processor / requests * 1000}
    sys.stdout.write(json.dumps({**told, "groups": samples}))


def call(application: Callable[..., Any], keys: list[str], times: int) -> None:
    """Call the WSGI application as granian does. Raises RuntimeError for an answer but 200."""
    told: list[str] = []
    plain: dict[str, Any] = {"PATH_INFO": "/v1/auth/me", "QUERY_STRING": ""}
    plain |= {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}
    plain["HTTP_X_FORWARDED_PROTO"] = "https"
    setup_testing_defaults(plain)
    for _ in range(times):
        environ = {**plain, "HTTP_AUTHORIZATION": random.choice(keys), "wsgi.input": io.BytesIO()}
        answer = application(environ, lambda status, _headers: told.append(status))
        b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        if told.pop() != "200 OK":
            raise RuntimeError("An answer was not 200.")


def group_of(frame: FrameType | None) -> str:
    """Return the group of the innermost frame that belongs to one."""
    while frame is not None:
        for name, parts in GROUPS.items():
            if any(part in frame.f_code.co_filename for part in parts.split()):
                return name
        frame = frame.f_back
    return "WSGI and the profiler itself"


if __name__ == "__main__":
    main()
