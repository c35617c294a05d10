"""The WSGI application, for the production server and for runserver."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reachscore.settings")

# Requests only: a migration may well take longer, and waits for its locks.
options = settings.DATABASES["default"]["OPTIONS"]
options["options"] = f"{options.get('options', '')} {settings.WEB_DATABASE_OPTIONS}".strip()

application = get_wsgi_application()
