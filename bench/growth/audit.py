"""verify_audit on very many sealed events: its time and memory, also ended half-way and resumed."""

import argparse
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from subprocess import PIPE
from typing import Final

import django
import psutil
from django.conf import settings

from bench.database import Connection, Database
from bench.dress import quickly
from bench.machine import ROOT, say
from bench.report import table
from bench.scratch import scratch
from bench.seed import ORGANIZATIONS, fill

NUMBER: Final = 987_654_321  # Stands for an event's.
BEGAN: Final = datetime(2025, 1, 1, tzinfo=UTC)


def measure(options: argparse.Namespace) -> str:
    """Return the section."""
    database, events = Database(), options.events
    with scratch(database, "bench_audit") as connection:
        with quickly(connection, kept="audit_event_numbered_once"):
            fill(connection, keys=ORGANIZATIONS)
            say(f"Writing {events:,} events.")
            write(connection, each=events // ORGANIZATIONS)
        say("Verifying them, and ending that half-way.")
        half = verify(end_after=ORGANIZATIONS // 2)
        say(f"Going on after {half[-1].organization}.")
        rest = verify(after=half[-1].organization)
    chains = {one.organization for one in [*half, *rest]}
    if not len(chains) == len(half) + len(rest) > ORGANIZATIONS:  # And the service's own.
        raise RuntimeError(f"{len(half)} and {len(rest)} chains were verified.")
    minutes = half[-1].minutes + rest[-1].minutes
    rows = [
        (name, f"{len(part):,}", f"{at.minutes:.1f}", f"{at.used:.1f}", f"{at.megabytes:.0f}")
        for name, samples in (("ended half-way", half), ("`--after` its last line", rest))
        for part in (samples[: len(samples) // 10], samples)
        for at in part[-1:]
    ]
    told = f"""{events:,} events in {ORGANIZATIONS:,} chains, {events / minutes / 60:,.0f} a second,
{minutes:.1f} minutes in all. Memory is the process's, at its tenth and its last chain."""
    headings = ("run", "chains", "minutes", "of these processor", "MB of memory")
    return f"## verify_audit\n\n{told}\n\n{table(headings, rows)}"


@dataclass(frozen=True, slots=True)
class Sample:
    """How far a run was when it printed an organization's head."""

    organization: str
    minutes: float
    used: float  # Minutes of the process's own processor time.
    megabytes: float


def verify(*, after: str = "", end_after: int | None = None) -> list[Sample]:
    """Run verify_audit, or end it after so many heads. Raises RuntimeError if it finds a fault."""
    command = [sys.executable, "manage.py", "verify_audit", "--after", after]
    began, samples = time.monotonic(), []
    with subprocess.Popen(command, cwd=ROOT, stdout=PIPE, text=True) as process:
        program = psutil.Process(process.pid)
        for line in process.stdout or ():
            minutes, used = (time.monotonic() - began) / 60, sum(program.cpu_times()[:2]) / 60
            megabytes = program.memory_info().rss / 2**20
            samples.append(Sample(line.split()[0], minutes, used, megabytes))
            if len(samples) == end_after:
                process.terminate()
                return samples
    if process.returncode:
        raise RuntimeError("verify_audit found faults.")
    return samples


def write(connection: Connection, *, each: int) -> None:
    """Write so many events of each organization, and set their heads.

    Events of a chain differ in number, second and seal, so the rest is written as text once.
    """
    django.setup()
    from audit.models import AuditEvent  # noqa: PLC0415 - as for every module that holds models
    from audit.seals import GENESIS, canonical  # noqa: PLC0415

    [(number, key)] = settings.AUDIT_KEYS.items()
    columns = AuditEvent.sealed_columns()
    heads: list[tuple[str, bytes]] = []

    def chain(organization_id: str) -> Iterator[str]:
        event = AuditEvent(
            organization_id=organization_id,
            sequence=NUMBER,
            action="api_key.issued",
            actor_type="key",
            actor_id="key_3iS8wW2xYbC4",
            actor_label="Key",
            target_type="api_key",
            target_id="key_3iS8wW2xYbC4",
            livemode=True,
            changes={"name": [None, "Key"], "scopes": [None, ["tests:read"]]},
            ip="192.0.2.7",
            user_agent="bench",
            request_id="req_3iS8wW2xYbC4",
            created_at=BEGAN,
            seal_key_id=number,
        )
        values = {name: getattr(event, name) for name in columns}
        moment, id_ = BEGAN.isoformat(timespec="microseconds"), event.id
        content = canonical(values).decode()
        values |= {"changes": json.dumps(event.changes), "created_at": moment}
        row = "\t".join("\\N" if one is None else str(one) for one in values.values())
        seal = GENESIS
        for sequence in range(1, each + 1):
            now = (BEGAN + timedelta(seconds=sequence)).isoformat(timespec="microseconds")
            own = {id_: f"{id_[:-7]}{sequence:07}", moment: now, str(NUMBER): str(sequence)}
            sealed, written = content, row
            for what, other in own.items():
                sealed, written = sealed.replace(what, other), written.replace(what, other)
            seal = hmac.digest(key, seal + sealed.encode(), "sha256")
            yield f"{written}\t\\\\x{seal.hex()}\n"
        heads.append((organization_id, seal))

    ids = [id_ for (id_,) in connection.execute("SELECT id FROM accounts_organization").fetchall()]
    copied = f"COPY audit_auditevent ({', '.join(columns)}, seal) FROM STDIN".encode()
    with connection.cursor() as cursor, cursor.copy(copied) as copy:
        for organization_id in ids:
            copy.write("".join(chain(organization_id)))
    connection.execute("SET session_replication_role = replica")  # A head moves one step only.
    with connection.cursor() as cursor:
        update = "UPDATE audit_audithead SET sequence = %s, seal = %s WHERE organization_id = %s"
        cursor.executemany(update, [(each, seal, id_) for id_, seal in heads])
