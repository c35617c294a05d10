"""A real PostgreSQL for development and tests: the ENGINE of settings without `DATABASE_URL`.

`cluster.Cluster` is what settings name, `base` is the Django backend which starts it on the first
connection. Everything but `base` is standard library alone, so that `remove` runs
without an environment and the watcher starts without Django. Imports point one way, from the
account and its commands over binaries and places to server, watcher, cluster and base.
"""
