#!/usr/bin/env python
"""Django's command line, after a look at the interpreter: an old one fails in unreadable ways."""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit("ReachScore needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])


def main():
    # type: () -> None
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reachscore.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here: pip install -r requirements.txt, or `make run`.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
