"""The WSGI application of the production server and of runserver."""

import gc
import multiprocessing
import os
import sys
from types import ModuleType
from typing import cast
from wsgiref.handlers import BaseHandler

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler

from reachscore.server import begin_worker
from web.database.session import SESSION, WEB, as_options
from web.environ import bounded, forget_request_names

if multiprocessing.parent_process():  # Not in runserver.
    begin_worker()
# Keep this process's environment out of the requests. granian copies it into each request's environ
# after this module is loaded, runserver copied it when it was started.
forget_request_names(os.environ)
BaseHandler.os_environ = {}

# DRF imports Pygments if it is installed (3.4 MB), for pages that we do not have. It is installed
# for render_docs only.
sys.modules.setdefault("pygments", cast(ModuleType, None))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reachscore.settings")
try:
    django.setup(set_prefix=False)
except ImproperlyConfigured as error:
    sys.exit(str(error))

# Time-outs for requests only: a migration may take longer, and waits for its locks.
options = settings.DATABASES["default"]["OPTIONS"]
options["options"] += f" {as_options(WEB)}"
SESSION.update(WEB)

from apikeys.authentication.door import Door  # noqa: E402 - its models need the set-up above

application = bounded(Door(WSGIHandler()))

# Code and settings live forever, so keep the garbage collector from scanning them again.
gc.collect()
gc.freeze()
