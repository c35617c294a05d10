#!/usr/bin/env python
"""Django's command line, after a look at the interpreter: an old one fails in unreadable ways.

`manage.py --env-file FILE COMMAND` reads settings from a file; of several, the last one counts.
"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit("ReachScore needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])


def main():
    # type: () -> None
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reachscore.settings")
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db import OperationalError, ProgrammingError
        from django.db.migrations.exceptions import MigrationSchemaMissing
    except ImportError:
        sys.exit("Django is not installed here: pip install -r requirements.txt, or `make run`.")
    from reachscore.env_file import read_env_file

    try:
        while sys.argv[1:2] == ["--env-file"]:
            os.environ.update(read_env_file("".join(sys.argv[2:3])))
            del sys.argv[1:3]
        settings.INSTALLED_APPS  # noqa: B018 - Django would run some commands without settings.
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError, MigrationSchemaMissing) as error:
        if "--traceback" in sys.argv:
            raise
        said = " ".join(str(error).partition("\nLINE ")[0].split())
        sys.exit(
            "The database cannot be used: %s\nCheck DATABASE_URL and --env-file. Tables are made "
            "by `migrate`, run as their owner. --traceback shows more." % said
        )


if __name__ == "__main__":
    main()
