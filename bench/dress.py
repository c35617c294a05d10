"""What a service has after a year, for `bench.pages`: names, uses, events of a million keys."""

from typing import Final

from bench.database import Connection
from bench.seed import ORGANIZATIONS

KEYS: Final = 1_000_000
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
           suspended_at = CASE WHEN h %% 50 = 0 THEN now() END,
           plan_id = (ARRAY['free', 'starter', 'team', 'business', 'enterprise'])[1 + h %% 5]
      FROM (SELECT id AS this, abs(hashtext(id)) AS h FROM accounts_organization) AS x
     WHERE this = id
    """,
    """
    INSERT INTO notices_contact (organization_id, email, created_at, verified_at)
    SELECT id, 'ops' || right(id, 4) || '@' || right(id, 4) || '.example', now(), now()
      FROM accounts_organization
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


def dress(connection: Connection) -> None:
    """Give the seeded rows what a service has after a year."""
    for statement in DRESS:
        connection.execute(statement.encode(), AFTER if "%" in statement else None)
