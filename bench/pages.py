"""The admin's pages on a million keys: `python -m bench.pages` seeds them once, writes PAGES.md."""

import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode

from bench.database import Database
from bench.dress import BASE, EVENTS, dress, quickly
from bench.machine import CORES, cpu_seconds, say
from bench.report import table
from bench.seed import ORGANIZATIONS

KEYS, TIMES = 1_000_000, 10


def main() -> None:
    database = Database()
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else KEYS
    schema = f"bench_pages_{keys}"
    os.environ |= {"DJANGO_SETTINGS_MODULE": "reachscore.settings", "DEBUG": "true"}
    os.environ |= {"ALLOWED_HOSTS": "testserver", "PUBLIC_URL": "http://localhost:8000"}
    os.environ |= {"DATABASE_URL": database.url(schema), "SECRET_KEY": token_urlsafe(48)}
    for name in ("API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS"):
        os.environ[name] = f"1:{token_urlsafe(32)}"
    import django  # noqa: PLC0415 - reads these variables

    django.setup()
    from django.conf import settings  # noqa: PLC0415 - the same
    from django.core.management import call_command  # noqa: PLC0415

    settings.DEBUG = False  # It would keep every statement.
    logging.disable(logging.INFO)
    with database.seeding(schema) as connection:
        if connection:
            say(f"Seeding {keys:,} keys, once.")
            call_command("migrate", verbosity=0)
            with quickly(connection):
                dress(connection, keys=keys)
    origin = f"`python -m bench.pages`, {datetime.now(UTC):%Y-%m-%d}, {len(CORES)} cores, "
    origin += f"Python {platform.python_version()}, PostgreSQL {database.version}."
    told = f"""Pages of the admin on {keys:,} keys of {ORGANIZATIONS:,} customers and
{BASE + EVENTS:,} audit events, {EVENTS:,} of them one customer's, whose `GET /v1/events` is here,
too. Asked for by Django's test client: the queries of one, the quickest of {TIMES}, and the mean
processor time of it and of PostgreSQL."""
    rows = table(("page", "queries", "ms", "processor ms"), list(measured(database)))
    text = "\n\n".join(["# Pages", origin, told, rows]) + "\n"
    if keys == KEYS:
        Path(__file__).with_name("PAGES.md").write_text(text)
    sys.stdout.write(text)


def measured(database: Database) -> Iterator[tuple[str, ...]]:
    """Yield each page with its queries and milliseconds, by the clock and of processor time.

    Raises RuntimeError for an answer but 200 and 503.
    """
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from apikeys.models import ApiKey  # noqa: PLC0415
    from apikeys.verbs.secrets import add_secret  # noqa: PLC0415
    from staff.login.sessions import prove  # noqa: PLC0415
    from staff.models import User  # noqa: PLC0415

    me, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client(raise_request_exception=False)
    client.force_login(me)
    session = client.session
    prove(session)
    session.save()
    named = ApiKey.objects.filter(organization__name="Olderstone Archive")
    callers = {}
    for livemode in (True, False):
        made = {"livemode": livemode, "organization": named[0].organization, "created_by": "cli"}
        _, plaintext = add_secret(ApiKey.objects.create(name="bench", **made))
        callers[livemode] = Client(headers={"Authorization": f"Bearer {plaintext}"})
    for name, url in pages():
        caller = callers["test mode" not in name] if url.startswith("/v1/") else client
        get: Callable[[str], Any] = caller.get
        for _ in range(2):
            with CaptureQueriesContext(connection) as queries:
                answer = get(url)
            count = len(queries.captured_queries)
        if answer.status_code == 503:  # The deadline of a page.
            yield name, str(count), "refused after 8 s", ""
            continue
        if answer.status_code != 200:
            raise RuntimeError(f"{url} is {answer.status_code}.")
        took, used = [], time.process_time() + cpu_seconds(database.pid)
        for _ in range(TIMES):
            began = time.perf_counter()
            get(url)
            took.append(time.perf_counter() - began)
        used = (time.process_time() + cpu_seconds(database.pid) - used) / TIMES
        yield name, str(count), f"{min(took) * 1000:.0f}", f"{used * 1000:.0f}"


def pages() -> Iterator[tuple[str, str]]:
    """Yield the pages to ask for, by what the table calls them."""
    from django.contrib.admin.utils import quote  # noqa: PLC0415

    from apikeys.models import ApiKey  # noqa: PLC0415
    from audit.models import AuditEvent  # noqa: PLC0415
    from staff.keys.keys import ApiKeyAdmin  # noqa: PLC0415

    keys, customers = "/admin/apikeys/apikey/", "/admin/accounts/organization/"
    audit = "/admin/audit/auditevent/"
    issued = AuditEvent.objects.filter(action="api_key.issued", user_agent="bench")
    known = ApiKey.objects.filter(pk__in=issued.values("target_id"))
    key = known.filter(name__startswith="CI", expires_at=None)[5_000]
    customer, secret = key.organization, key.secrets.all()[0]
    event = issued.get(target_id=key.pk)
    yield "home", "/admin/"
    yield "one key", f"{keys}{quote(key.pk)}/change/"
    yield "one organization", f"{customers}{quote(customer.pk)}/change/"
    yield "list of keys", keys
    yield "list of keys, page 200", f"{keys}?p=200"
    searches = {
        "last four": f"…{secret.last_four}",
        "last four of no key": "…zzZ9",
        "locator": secret.locator,
        "id": key.pk,
        "name": key.name,
        "organization and name": f"{customer.name} {key.name}",
        "contact": customer.contacts.get().email,
        "allowed address": "10.7.7.7/32",
        "a word that a tenth of all keys has": "zoe",
        "a word that no key has": "nowhere",
        "two letters": "ci",
        "two letters that no key has": "qx",
        "an old customer's with a twentieth of all keys": "olderstone",
    }
    for name, text in searches.items():
        yield f"search keys: {name}", f"{keys}?{urlencode({'q': text})}"
    for filter_ in ApiKeyAdmin.list_filter:
        a_filter: Any = filter_
        for value in getattr(a_filter, "narrowed", None) or dict(a_filter.values()):
            query = urlencode({str(a_filter.parameter_name): value})
            yield f"filter keys: {a_filter.title} {value}", f"{keys}?{query}"
    yield "organizations", customers
    yield "search organizations", f"{customers}?q=zoe"
    yield "audit log", audit
    yield "audit log, page 200", f"{audit}?p=200"
    searches = {
        "organization": customer.name,
        "staff:sam": "staff:sam",
        "api_key.revoked": "api_key.revoked",
        "a word of a reason": "company",
        "a word that no event has": "nowhere",
        "id of a key": key.pk,
        "request": event.request_id,
        "address": str(event.ip),
    }
    for name, text in searches.items():
        yield f"search the audit log: {name}", f"{audit}?{urlencode({'q': text})}"
    for query in ("action=api_key.revoked", "actor=staff", f"organization={customer.pk}"):
        yield f"filter the audit log: {query.partition('=')[0]}", f"{audit}?{query}"
    million = AuditEvent.objects.filter(action="api_key.rotated", user_agent="bench")
    one, late, early = million[0].actor_id, "2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
    for name, query in {
        "all": "",
        "an action that half of them have": "action=api_key.rotated",
        "an action that none has": "action=api_key.devoured",
        "a key that did half of them": f"actor={one}",
        "a key and an action of half each, together of none": f"actor={one}&action=api_key.changed",
        "staff and an action that half of them have": "actor=staff&action=api_key.rotated",
        "a key that nothing was done to": "key=key_000000000000",
        "after the last": f"since={late}",
        "before the first": f"until={early}&action=api_key.rotated",
        "test mode, which has none": "",
        "test mode, a key of live mode": f"actor={one}",
    }.items():
        yield f"events: {name}", f"/v1/events?{query}"


if __name__ == "__main__":
    main()
