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
from typing import Any, Final
from urllib.parse import urlencode

from bench.database import Connection, Database
from bench.machine import CORES, say
from bench.report import table
from bench.seed import ORGANIZATIONS, fill

SCHEMA, KEYS, TIMES = "bench_pages", 1_000_000, 10
AFTER: Final = {"keys": KEYS, "organizations": ORGANIZATIONS}
# Customers and keys as people name them; one old customer has a twentieth of all keys.
DRESS: Final = (
    # The keys get their texts with their names.
    "ALTER TABLE accounts_organization DISABLE TRIGGER organization_search_text_of_keys",
    """
    UPDATE accounts_organization SET
           name = (ARRAY['Initech', 'Zoë', 'Müller', 'Acme', 'Globex', 'Hooli', 'Société Générale',
                         'Ångström', '北京邮件', 'Почта'])[1 + h %% 10] || ' '
               || (ARRAY['Mail', 'Logistik', 'Services', 'Labs', 'Media'])[1 + h / 10 %% 5] || ' '
               || (ARRAY['GmbH', 'Inc', 'Ltd', 'SA', 'AB'])[1 + h / 50 %% 5] || ' ' || right(id, 4),
           contact_email = 'ops' || right(id, 4) || '@' || right(id, 4) || '.example',
           suspended_at = CASE WHEN h %% 50 = 0 THEN now() END,
           plan_id = (ARRAY['free', 'starter', 'team', 'business', 'enterprise'])[1 + h %% 5]
      FROM (SELECT id AS this, abs(hashtext(id)) AS h FROM accounts_organization) AS x
     WHERE this = id
    """,
    "UPDATE accounts_organization SET name = 'Olderstone Archive' WHERE id = bench_id('org', 7)",
    "ALTER TABLE accounts_organization ENABLE TRIGGER organization_search_text_of_keys",
    """
    UPDATE apikeys_apikey SET
           name = (ARRAY['production', 'staging', 'CI', 'nightly', 'backup', 'newsletter', 'import',
                         'webhook', 'monitoring', 'Zoë’s'])[1 + h %% 10] || ' '
               || (ARRAY['pipeline', 'worker', 'server', 'cron', 'export'])[1 + h / 10 %% 5] || ' '
               || h / 50 %% 1000,
           livemode = h %% 4 <> 0,
           organization_id = CASE WHEN h %% 20 = 7 THEN bench_id('org', 7)
                             ELSE organization_id END,
           created_at = created_at - CASE WHEN h %% 20 = 7 THEN interval '2 years'
                                     ELSE interval '0' END,
           expires_at = CASE WHEN h %% 10 = 0 THEN created_at + interval '1 day' * (1 + h %% 700)
                        END,
           revoked_at = CASE WHEN h %% 20 = 1 THEN created_at + (now() - created_at) * random() END,
           allowed_ips = CASE WHEN h %% 40 = 2 THEN
               ARRAY[('10.' || h %% 256 || '.' || h / 256 %% 256 || '.7')::cidr] END
      FROM (SELECT id AS this, abs(hashtext(id)) AS h FROM apikeys_apikey) AS x
     WHERE this = id
    """,
    """
    UPDATE apikeys_keysecret SET
           last_four = left(translate(encode(digest, 'base64'), '+/=', 'abc'), 4),
           last_used_at = CASE WHEN id %% 3 <> 0 THEN now() - interval '1 day' * (id / 3 %% 200) END
    """,
    """
    INSERT INTO apikeys_keysecret (api_key_id, locator, digest, pepper_id, last_four, created_at,
                                   last_used_user_agent, expires_at)
    SELECT api_key_id, 'R' || lpad(to_hex(id), 7, '0'), sha256(int8send(id)), 1, last_four,
           created_at, '', now() + interval '2 days' * CASE WHEN id %% 5 = 0 THEN 1 ELSE -9 END
      FROM apikeys_keysecret WHERE id %% 200 = 0
    """,
    """
    INSERT INTO apikeys_scopegrant (api_key_id, scope, granted_at, last_exercised_on)
    SELECT id, scope, created_at, CASE WHEN hashtext(id || scope) %% 2 = 0 THEN current_date END
      FROM apikeys_apikey, unnest(scopes) scope
    """,
    """
    INSERT INTO apikeys_keyday (api_key_id, day, requests, limited)
    SELECT bench_id('key', n), current_date - back, 1 + (n * back) %% 900, 0
      FROM generate_series(0, 29) back, generate_series(1, %(keys)s / 10) n
    """,
    """
    INSERT INTO accounts_usage (organization_id, livemode, meter, period_start, used)
    SELECT bench_id('org', n), livemode, 'tests', date_trunc('month', current_date), n
      FROM generate_series(1, %(organizations)s) n, (VALUES (TRUE), (FALSE)) AS mode (livemode)
    """,
    # Their seals fit nothing: nobody verifies them here.
    """
    INSERT INTO audit_auditevent (
           id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
           target_id, livemode, reason, changes, ip, user_agent, request_id, created_at,
           seal_key_id, seal)
    SELECT bench_id('evt', n), organization_id, n,
           CASE WHEN n %% 20 = 0 THEN 'api_key.revoked' ELSE 'api_key.issued' END,
           CASE WHEN n %% 50 = 0 THEN 'staff' ELSE 'key' END, bench_id('key', n),
           CASE WHEN n %% 50 = 0 THEN 'sam' ELSE name END, 'api_key', bench_id('key', n), TRUE,
           CASE WHEN n %% 50 = 0 THEN 'left the company' ELSE '' END, '{}',
           ('10.0.' || n %% 256 || '.' || n / 256 %% 256)::inet, 'bench', bench_id('req', n),
           now() - n * interval '30 seconds', 1, sha256(int8send(n))
      FROM generate_series(1, %(keys)s) n JOIN apikeys_apikey ON id = bench_id('key', n)
    """,
    # A million of the old customer's, in live mode: half by one key and half by another.
    """
    INSERT INTO audit_auditevent (
           id, organization_id, sequence, action, actor_type, actor_id, actor_label, target_type,
           target_id, livemode, reason, changes, ip, user_agent, request_id, created_at,
           seal_key_id, seal)
    SELECT bench_id('evt', %(keys)s + n), bench_id('org', 7), %(keys)s + n,
           (ARRAY['api_key.changed', 'api_key.rotated'])[1 + n %% 2], 'key',
           (ARRAY[one, other])[1 + n %% 2], 'n', 'api_key', bench_id('key', n / 10), TRUE, '', '{}',
           '10.0.0.1', 'bench', bench_id('req', %(keys)s + n),
           now() - (%(keys)s - n) * interval '30 seconds', 1, sha256(int8send(n))
      FROM generate_series(1, %(keys)s) n,
           (SELECT min(id) AS one, max(id) AS other FROM apikeys_apikey
             WHERE organization_id = bench_id('org', 7) AND livemode) AS key
    """,
    "VACUUM FULL apikeys_apikey",
    "VACUUM FULL apikeys_keysecret",
    "VACUUM ANALYZE audit_auditevent",
)


def main() -> None:
    database = Database()
    os.environ |= {"DJANGO_SETTINGS_MODULE": "reachscore.settings", "DEBUG": "true"}
    os.environ |= {"ALLOWED_HOSTS": "testserver", "PUBLIC_URL": "http://localhost:8000"}
    os.environ |= {"DATABASE_URL": database.url(SCHEMA), "SECRET_KEY": token_urlsafe(48)}
    for name in ("API_KEY_PEPPERS", "AUDIT_KEYS", "ENCRYPTION_KEYS"):
        os.environ[name] = f"1:{token_urlsafe(32)}"
    import django  # noqa: PLC0415 - reads these variables

    django.setup()
    from django.conf import settings  # noqa: PLC0415 - the same
    from django.core.management import call_command  # noqa: PLC0415

    settings.DEBUG = False  # It would keep every statement.
    logging.disable(logging.INFO)
    with database.seeding(SCHEMA) as connection:
        if connection:
            say(f"Seeding {KEYS:,} keys, once.")
            call_command("migrate", verbosity=0)
            fill(connection, keys=KEYS)
            dress(connection)
    page = Path(__file__).with_name("PAGES.md")
    origin = f"`python -m bench.pages`, {datetime.now(UTC):%Y-%m-%d}, {len(CORES)} cores, "
    origin += f"Python {platform.python_version()}, PostgreSQL {database.version}."
    told = f"""Pages of the admin on {KEYS:,} keys of {ORGANIZATIONS:,} customers and twice as many
audit events, half of them one customer's, whose `GET /v1/events` is here, too. Asked for by
Django's test client: the queries of one, and the quickest of {TIMES}."""
    rows = table(("page", "queries", "ms"), list(measured()))
    page.write_text("\n\n".join(["# Pages", origin, told, rows]) + "\n")
    sys.stdout.write(page.read_text())


def dress(connection: Connection) -> None:
    """Give the seeded rows what a service has after a year."""
    for statement in DRESS:
        connection.execute(statement.encode(), AFTER if "%" in statement else None)


def measured() -> Iterator[tuple[str, str, str]]:
    """Yield each page with its queries and milliseconds. Raises RuntimeError for one but 200."""
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from apikeys.models import ApiKey  # noqa: PLC0415
    from apikeys.verbs.secrets import add_secret  # noqa: PLC0415
    from staff.login.sessions import prove  # noqa: PLC0415
    from staff.models import User  # noqa: PLC0415

    me, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client()
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
        if answer.status_code != 200:
            raise RuntimeError(f"{url} is {answer.status_code}.")
        took = []
        for _ in range(TIMES):
            began = time.perf_counter()
            get(url)
            took.append(time.perf_counter() - began)
        yield name, str(count), f"{min(took) * 1000:.0f}"


def pages() -> Iterator[tuple[str, str]]:
    """Yield the pages to ask for, by what the table calls them."""
    from django.contrib.admin.utils import quote  # noqa: PLC0415

    from apikeys.models import ApiKey  # noqa: PLC0415
    from audit.models import AuditEvent  # noqa: PLC0415
    from staff.keys.keys import ApiKeyAdmin  # noqa: PLC0415

    keys, customers = "/admin/apikeys/apikey/", "/admin/accounts/organization/"
    audit = "/admin/audit/auditevent/"
    key = ApiKey.objects.filter(name__startswith="CI", expires_at=None)[5_000]
    customer, secret = key.organization, key.secrets.all()[0]
    event = AuditEvent.objects.get(target_id=key.pk)
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
        "contact": customer.contact_email,
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
