"""The Django backend of the embedded PostgreSQL: production's, on a server that it starts.

Settings give ENGINE "reachscore.embedded" and CLUSTER, a `Cluster`; HOST, PORT and USER follow.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from django.db import OperationalError
from django.db.backends.postgresql.client import DatabaseClient as PostgresClient

from reachscore.database import base
from reachscore.embedded.cluster import Cluster
from reachscore.embedded.errors import EmbeddedPostgresError
from reachscore.embedded.places import PORT
from reachscore.embedded.server import SUPERUSER


class DatabaseClient(PostgresClient):
    """`manage.py dbshell`: starts the server, then the psql that came with it."""

    connection: "DatabaseWrapper"

    def runshell(self, parameters: Iterable[str]) -> None:
        self.connection.ensure_running()
        super().runshell(parameters)

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        args, env = super().settings_to_cmd_args_env(settings_dict, parameters)
        psql = settings_dict["CLUSTER"].psql
        return ([str(psql), *args[1:]] if psql.exists() else args), env


class DatabaseWrapper(base.DatabaseWrapper):
    """Starts the server on the first connection, and again when it was killed since."""

    client_class = DatabaseClient

    def ensure_running(self) -> None:
        """Start the server unless it runs, and fill in where it listens."""
        cluster: Cluster = self.settings_dict["CLUSTER"]
        try:
            cluster.ensure_running()
            # PORT too: the caller's PGPORT means another server.
            address = {"HOST": str(cluster.socket_folder), "PORT": str(PORT), "USER": SUPERUSER}
        except EmbeddedPostgresError as error:
            raise OperationalError(str(error)) from error
        self.settings_dict.update(address)

    def get_connection_params(self) -> dict[str, Any]:
        """Start the server on the first connection of this process, then say where it is."""
        if not self.settings_dict["HOST"] or not self.settings_dict["CLUSTER"].is_used_here:
            self.ensure_running()
        return super().get_connection_params()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, once more if the server was killed since this process has ensured it."""
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError:
            self.ensure_running()
            return super().get_new_connection(conn_params)
