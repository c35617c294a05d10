"""Tests of the cost of `GET /v1/keys`: the same for any number of keys and any page."""

import re
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from apikeys.models import ApiKey
from tests.support.cast import ApiClient, ApiTestCase
from tests.support.committed import as_owner

MANY = 5000
# In SQL, because the models would take ten seconds.
STORE_KEYS = """
    WITH key AS (
        INSERT INTO apikeys_apikey (id, organization_id, livemode, name, scopes, created_at,
                                    created_by, revoked_by, revoked_reason)
        SELECT 'key_' || substr(md5(%(mode)s || n), 1, 12), %(organization)s, %(mode)s = 'live',
               'n' || n, '{tests:read}', now() - n * interval '1 second', 'cli', '', ''
          FROM generate_series(1, %(many)s) AS n
        RETURNING id
    )
    INSERT INTO apikeys_keysecret (api_key_id, locator, digest, pepper_id, last_four, created_at,
                                   last_used_user_agent)
    SELECT id, substr(id, 5, 8), sha256(id::bytea), 1, 'abcd', now(), '' FROM key
"""


class ListCostTests(ApiTestCase):
    api: ApiClient
    deep: str

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.acme.plan.active_keys_limit = None
        cls.acme.plan.save()
        with connection.cursor() as cursor:
            for mode in ("live", "test"):
                parameters = {"organization": cls.acme.id, "mode": mode, "many": MANY}
                cursor.execute(STORE_KEYS, parameters)
        with as_owner() as cursor:
            cursor.execute("ANALYZE apikeys_apikey, apikeys_keysecret")
        keys = ApiKey.objects.filter(organization=cls.acme, livemode=True)
        cls.deep = keys[MANY - 500].id

    def setUp(self) -> None:
        self.api = self.issue()[1]
        self.api.get("/v1/auth/me")  # The first use writes, which would count below.

    def plan(self, query: str) -> dict[str, Any]:
        """Return PostgreSQL's plan of the statement that fetches the page."""
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = self.api.get(f"/v1/keys?{query}")
        self.assertEqual(len(response.json()["data"]), 20)
        (sql,) = (
            q["sql"]
            for q in queries
            if "last_four" in q["sql"] and re.search(r"LIMIT 21$", q["sql"])
        )
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + sql)
            plan: dict[str, Any] = cursor.fetchone()[0][0]["Plan"]
        return plan

    def test_key_list_takes_the_same_queries_for_any_number_of_keys(self):
        self.api.get("/v1/keys")  # Writes the scope use of the day.
        for query in ("limit=1", "limit=100", f"limit=100&starting_after={self.deep}"):
            with self.subTest(query), self.assertNumQueries(5 if "after" in query else 4):
                self.api.get(f"/v1/keys?{query}")

    def test_key_list_reads_its_page_from_the_index_without_sorting(self):
        for query in [
            "",
            f"starting_after={self.deep}",
            f"ending_before={self.deep}",
            f"starting_after={self.deep}&status=active&scope=tests:read&name=n",
        ]:
            with self.subTest(query):
                nodes = list(nodes_over_keys(self.plan(query)))
                kinds = [(node["Node Type"], node.get("Index Name")) for node in nodes]
                self.assertEqual(kinds, [("Limit", None), ("Index Scan", "api_key_newest")])

    def test_key_list_reads_no_more_blocks_for_a_deep_page_than_for_the_first(self):
        first = self.plan("")["Shared Hit Blocks"]
        for query in (f"starting_after={self.deep}", f"ending_before={self.deep}"):
            deep = self.plan(query)["Shared Hit Blocks"]
            self.assertLess(deep, 1.5 * first + 10, f"{deep} for {query}, {first} for the first")


def nodes_over_keys(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the plan nodes that find the page's keys, without the SubPlans over secrets."""
    yield plan
    for child in plan.get("Plans", []):
        if child["Parent Relationship"] != "SubPlan":
            yield from nodes_over_keys(child)
