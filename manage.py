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
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
