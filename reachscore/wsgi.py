"""The WSGI application, for the production server and for runserver."""

import os

import django
from django.conf import settings

from reachscore.api.request import SteadyHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reachscore.settings")
django.setup(set_prefix=False)

# Requests only: a migration may well take longer, and waits for its locks.
options = settings.DATABASES["default"]["OPTIONS"]
options["options"] = f"{options.get('options', '')} {settings.WEB_DATABASE_OPTIONS}".strip()

application = SteadyHandler()
