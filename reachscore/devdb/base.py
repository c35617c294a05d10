"""Django database backend: production's, on a server that it starts in the setting HOME."""

import functools
import os
from collections.abc import Iterable
from typing import Any

from django.db import OperationalError
from django.db.backends.postgresql import client

from reachscore.devdb.cluster import PORT, USER, Cluster, find_programs
from web.database import base

cluster_at = functools.cache(Cluster)


class DatabaseClient(client.DatabaseClient):
    def runshell(self, parameters: Iterable[str]) -> None:
        """Run the psql that came with the server."""
        self.connection.ensure_connection()
        os.environ["PATH"] = f"{find_programs()[0]}{os.pathsep}{os.environ.get('PATH', '')}"
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        """Start the server if it does not run, and return how to connect to it."""
        given = self.settings_dict
        cluster = cluster_at(given["HOME"], throwaway=given.get("THROWAWAY", False))
        try:
            cluster.start()
        except OSError as error:
            raise OperationalError(f"{error} Or set DATABASE_URL.") from error
        given.update(HOST=cluster.host, PORT=PORT, USER=USER)
        return super().get_connection_params()
