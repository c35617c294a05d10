"""The WSGI application of whichever peer BENCH_PEER names."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")

application = get_wsgi_application()
