"""What the rules must find, and what they must let pass; `semgrep --test` reads the marks."""

from django.db.models.expressions import RawSQL


def sql(cursor, name, values):
    # ruleid: sql-is-never-built-out-of-strings
    cursor.execute(f"SELECT {name}")
    # ruleid: sql-is-never-built-out-of-strings
    cursor.execute("SELECT %s" % name)
    # ruleid: sql-is-never-built-out-of-strings
    cursor.execute("SELECT " + name, values)
    # ruleid: sql-is-never-built-out-of-strings
    cursor.execute("SELECT {}".format(name))
    # ruleid: sql-is-never-built-out-of-strings
    RawSQL(f"SELECT {name}", ())
    # ok: sql-is-never-built-out-of-strings
    cursor.execute("SELECT %s", [name])


def save(api_key):
    # ruleid: no-full-row-save
    api_key.save()
    # ruleid: no-full-row-save
    api_key.save(using="default")
    # ok: no-full-row-save
    api_key.save(update_fields=["name"])
    # ok: no-full-row-save
    api_key.save(force_insert=True)


def log(logger, request):
    # ruleid: no-logging-of-authorization
    logger.info("Headers: %s", request.META)
    # ruleid: no-logging-of-authorization
    logger.debug("Key: %s", request.headers["Authorization"])
    # ruleid: no-logging-of-authorization
    logger.warning("Key: %s", request.META.get("HTTP_AUTHORIZATION"))
    # ok: no-logging-of-authorization
    logger.info("Route: %s", request.resolver_match.route)
