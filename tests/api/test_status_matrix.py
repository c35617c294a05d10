"""The status matrix: each endpoint's status for each kind of request, in three tables."""

import json
from typing import Any

from django.test import Client

from apikeys.plaintext import new_plaintext
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.support.cast import Answer, ApiClient, ApiTestCase

# A dot: this kind of request does not exist for the endpoint.
CALLERS = """
endpoint                    right  keyless unknown  restricted  itself  nowhere  foreign  revoked
GET    /keys                200    401     401      200         200     .        .        .
HEAD   /keys                200    401     401      200         200     .        .        .
POST   /keys                201    401     401      403         .       .        .        .
GET    /keys/ID             200    401     401      403         200     404      404      200
HEAD   /keys/ID             200    401     401      403         200     404      404      200
PATCH  /keys/ID             200    401     401      403         403     404      404      409
DELETE /keys/ID             200    401     401      403         200     404      404      200
POST   /keys/ID/rotate      200    401     401      403         200     404      404      409
POST   /keys/ID/finish_rotation 200 401    401      403         200     404      404      409
GET    /keys/ID/events      200    401     401      403         403     404      404      200
HEAD   /keys/ID/events      200    401     401      403         403     404      404      200
GET    /events              200    401     401      403         .       .        .        .
HEAD   /events              200    401     401      403         .       .        .        .
GET    /auth/me             200    401     401      200         200     .        .        .
HEAD   /auth/me             200    401     401      200         200     .        .        .
"""

FORMS = """
endpoint                    query  twice  field  value  broken  text  long  unbound  empty  csv
GET    /keys                400    400    .      .      .       .     .     .        .      406
POST   /keys                400    .      400    400    400     415   413   411      400    406
GET    /keys/ID             400    .      .      .      .       .     .     .        .      406
PATCH  /keys/ID             400    .      400    400    400     415   413   411      200    406
DELETE /keys/ID             400    400    .      .      .       .     .     .        .      406
POST   /keys/ID/rotate      400    .      400    400    400     415   413   411      200    406
POST   /keys/ID/finish_rotation 400 .     400    400    400     415   413   411      200    406
GET    /keys/ID/events      400    400    .      .      .       .     .     .        .      406
GET    /events              400    400    .      .      .       .     .     .        .      406
GET    /auth/me             400    400    .      .      .       .     .     .        .      406
"""

METHODS = """
path                        GET  HEAD  POST  PUT  PATCH  DELETE  OPTIONS  TRACE  PROPFIND
/keys                       200  200   201   405  405    405     405      405    405
/keys/ID                    200  200   405   405  200    200     405      405    405
/keys/ID/rotate             405  405   200   405  405    405     405      405    405
/keys/ID/finish_rotation    405  405   200   405  405    405     405      405    405
/keys/ID/events             200  200   405   405  405    405     405      405    405
/events                     200  200   405   405  405    405     405      405    405
/auth/me                    200  200   405   405  405    405     405      405    405
/keys/ID/revoke             404  404   404   404  404    404     404      404    404
/keys/ID/                   404  404   404   404  404    404     404      404    404
/keys/ID/events/x           404  404   404   404  404    404     404      404    404
"""

# A valid body of the endpoint, and one of its query parameters.
BODIES: dict[str, dict[str, Any]] = {"POST /keys": {"name": "x"}, "PATCH /keys/ID": {"name": "x"}}
PARAMETERS = {"DELETE /keys/ID": "reason=x", "GET /auth/me": "require=tests:read"}


def read(table: str) -> dict[str, dict[str, int]]:
    """Parse a table; return the statuses of its columns by row."""
    head, *lines = (line.split() for line in table.strip().splitlines())
    names = head[1:]
    rows = {}
    for words in lines:
        endpoint, statuses = words[: -len(names)], words[-len(names) :]
        rows[" ".join(endpoint)] = {
            name: int(status) for name, status in zip(names, statuses, strict=True) if status != "."
        }
    return rows


class MatrixTestCase(ApiTestCase):
    def setUp(self) -> None:
        _, self.api = self.issue()
        self.key, _ = self.issue()

    def ask(self, client: Client, endpoint: str, key_id: str, **extra: Any) -> Answer:
        """Send the endpoint's usual request, changed by `extra`."""
        method, path = endpoint.split()
        data = extra.pop("data", BODIES.get(endpoint, {}) if method in ("POST", "PATCH") else b"")
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        options = {"content_type": "application/json", **extra}
        return client.generic(method, f"/v1{path.replace('ID', key_id)}", body, **options)

    def assertStatus(self, response: Answer, status: int) -> None:
        self.assertEqual(response.status_code, status, response.content[:300])
        self.assertTrue(response["Request-Id"])
        if status >= 400 and response.content:
            self.assertEqual(list(response.json()), ["error"])
            self.assertEqual(response["Content-Type"], "application/json")


class CallerTests(MatrixTestCase):
    def test_status_by_caller_and_target_key_is_as_tabled(self):
        itself, restricted = self.issue(scopes=["tests:read"])
        foreign, _ = self.issue(organization=self.globex)
        revoked, _ = self.issue()
        revoke(revoked, actor=Actor.cli())
        unknown = ApiClient(new_plaintext(livemode=True))
        who: dict[str, tuple[Client, str]] = {
            "keyless": (Client(), self.key.id),
            "unknown": (unknown, self.key.id),
            "restricted": (restricted, self.key.id),
            "nowhere": (self.api, "key_000000000000"),
            "foreign": (self.api, foreign.id),
            "revoked": (self.api, revoked.id),
        }
        for endpoint, statuses in read(CALLERS).items():
            for column, status in statuses.items():
                with self.subTest(f"{endpoint}: {column}"):
                    client, key_id = who.get(column, (self.api, self.key.id))
                    if column == "right":
                        key_id = self.issue()[0].id
                    elif column == "itself":
                        key, client = self.issue(scopes=["tests:read"])
                        key_id = key.id
                    self.assertStatus(self.ask(client, endpoint, key_id), status)
        itself.refresh_from_db()
        self.assertIsNone(itself.revoked_at)
        self.assertEqual(self.actions(self.key) + self.actions(foreign), ["issued", "issued"])


class FormTests(MatrixTestCase):
    def test_status_by_form_of_the_request_is_as_tabled(self):
        forms: dict[str, dict[str, Any]] = {
            "query": {"query_params": {"nope": "1"}},
            "field": {"data": {"nope": 1}},
            "value": {"data": {"name": 5, "overlap_seconds": "x"}},
            "broken": {"data": b"{"},
            "text": {"data": b"{}", "content_type": "text/plain"},
            "long": {"data": b" " * 70_000},
            "unbound": {"data": b"", "HTTP_TRANSFER_ENCODING": "chunked"},
            "empty": {"data": b"", "CONTENT_LENGTH": "0"},
            "csv": {"HTTP_ACCEPT": "text/csv"},
        }
        for endpoint, statuses in read(FORMS).items():
            parameter = PARAMETERS.get(endpoint, "limit=5")
            forms["twice"] = {"query_params": {parameter.split("=")[0]: parameter.split("=") * 2}}
            for column, status in statuses.items():
                with self.subTest(f"{endpoint}: {column}"):
                    response = self.ask(self.api, endpoint, self.key.id, **forms[column])
                    self.assertStatus(response, status)
        # Only the two requests without fields were valid; nothing else was carried out.
        self.assertEqual(self.actions(self.key), ["issued", "rotated", "rotation_finished"])


class MethodTests(MatrixTestCase):
    def test_status_by_method_and_path_is_as_tabled(self):
        for path, statuses in read(METHODS).items():
            allowed = ", ".join(method for method, status in statuses.items() if status != 405)
            for method, status in statuses.items():
                with self.subTest(f"{method} {path}"):
                    key_id = self.issue()[0].id if status < 300 else self.key.id
                    response = self.ask(self.api, f"{method} {path}", key_id)
                    self.assertStatus(response, status)
                    if status == 405:
                        self.assertEqual(response["Allow"], allowed)
        self.assertEqual(self.actions(self.key), ["issued"])

    def test_wrong_method_is_refused_before_the_key_is_looked_at(self):
        for client in (self.api, Client(), ApiClient(new_plaintext(livemode=True))):
            with self.assertNumQueries(0):
                self.assertStatus(client.put(f"/v1/keys/{self.key.id}"), 405)
