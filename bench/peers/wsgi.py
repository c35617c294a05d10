"""The WSGI application, and the address, of what BENCH_PEER names: `module:view`."""

import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")

application = get_wsgi_application()

module, _, name = os.environ.get("BENCH_PEER", "by_the_book:Me").partition(":")
view = getattr(import_module(f"bench.peers.{module}"), name)
if hasattr(view, "urls"):  # django-ninja's API has a view of its own.
    urlpatterns = [path("", view.urls)]
else:
    urlpatterns = [path("v1/auth/me", view.as_view() if isinstance(view, type) else view)]
