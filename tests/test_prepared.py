"""What runs at every request is planned once a connection."""

from django.db import connection

from tests.cast import ApiTestCase

PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%apikeys_keyday%%'"


class PreparedTests(ApiTestCase):
    def test_the_authenticating_statement_is_prepared_after_its_fifth_run(self):
        _, client = self.issue()
        for _ in range(7):
            self.assertEqual(client.get("/v1/auth/me").status_code, 200)
        with connection.cursor() as cursor:
            cursor.execute(PREPARED)
            self.assertEqual(cursor.fetchone(), (1,))
