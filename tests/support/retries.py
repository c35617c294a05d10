"""Helpers of the retry tests: requests with an Idempotency-Key, and checks of their answers."""

from datetime import UTC, datetime
from typing import Final

from tests.support.cast import Answer, ApiClient, ApiTestCase

HEADER: Final = "Idempotency-Key"
NOW: Final = datetime(2026, 3, 11, 10, 30, 0, tzinfo=UTC)
CI: Final = {"name": "CI"}


class RetryTestCase(ApiTestCase):
    """Has the client of a managing key, and sends its requests with an Idempotency-Key."""

    def setUp(self) -> None:
        self.key, self.client_of_key = self.issue()

    def create(
        self, token: str = "t-1", body: object = CI, *, by: ApiClient | None = None
    ) -> Answer:
        return (by or self.client_of_key).send("/v1/keys", body, **{HEADER: token})

    def made(self, response: Answer) -> ApiClient:
        """Check that a request was carried out now; return the new key's client."""
        self.assertEqual(response.status_code, 201, response.content)
        self.assertNotIn("Idempotent-Replayed", response)
        return ApiClient(response.json()["key"])

    def replayed(self, response: Answer) -> ApiClient:
        """Check that an answer is a replay; return the client of its fresh secret."""
        self.assertEqual(response.status_code, 201, response.content)
        self.assertEqual(response["Idempotent-Replayed"], "true")
        return ApiClient(response.json()["key"])

    def assertUsed(self, response: Answer) -> None:
        self.assertRefused(response, 409, "idempotency_secret_used")

    def assertWorks(self, client: ApiClient) -> None:
        self.assertEqual(client.get("/v1/auth/me").status_code, 200)

    def assertEnded(self, client: ApiClient) -> None:
        error = self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_expired")
        self.assertIn("newest secret", error["fix"])
