"""Samples the product while it answers, in this very process: `python -m bench.profiled FILE N`.

The sampler interrupts after each millisecond of processor time, so that waiting for PostgreSQL is
not in its samples; it is what the clock shows beside. Prints JSON.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from bench.groups import function_of, group_of
from bench.wsgi_calls import Caller


def main() -> None:
    requests = int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # As reachscore.server does.
        from reachscore.wsgi import application  # noqa: PLC0415 - reads that variable

        caller = Caller(application, Path(sys.argv[1]))
        caller.call(500)
        groups: Counter[str] = Counter()
        functions: Counter[str] = Counter()

        def sample(_number: int, frame: FrameType | None) -> None:
            groups[group_of(frame)] += 1
            if frame is not None:
                functions[function_of(frame)] += 1

        clock, processor = time.perf_counter(), time.thread_time()
        caller.call(requests)
        clock, processor = time.perf_counter() - clock, time.thread_time() - processor
        signal.signal(signal.SIGPROF, sample)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        caller.call(requests)
        signal.setitimer(signal.ITIMER_PROF, 0)
    told = {
        "clock_ms": clock / requests * 1000,
        "cpu_ms": processor / requests * 1000,
        "groups": groups,
        "functions": dict(functions.most_common(40)),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
