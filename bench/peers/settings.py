"""Settings of the peers. Where there is a choice, the one that is quicker for them.

BENCH_PEER names what is served, see wsgi; BENCH_REDIS the socket of Redis.
"""

import os
import secrets

from reachscore.environment import database_from_url

SECRET_KEY = secrets.token_urlsafe(48)
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bench.peers.wsgi"
USE_TZ = True
USE_I18N = False  # No translations are looked up.
MIDDLEWARE: list[str] = []  # An API on keys needs none.
INSTALLED_APPS = [
    "bench.peers",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "knox",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_api_key",
]
AUTH_USER_MODEL = "peers.Account"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {"default": database_from_url(os.environ["DATABASE_URL"])}
# Django's default, a connection a request, would cost them most of their speed.
DATABASES["default"]["CONN_MAX_AGE"] = None
if (
    os.environ.get("BENCH_PEER") == "bare_django:me"
):  # Django's documented way to a statement that is prepared.
    DATABASES["default"]["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": 5}

# What goes wrong is shown; nothing is written of a request that goes well.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "loggers": {"django": {"handlers": ["stderr"]}},
}

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": f"unix://{os.environ.get('BENCH_REDIS')}",
    }
}

REST_FRAMEWORK = {
    # No page for browsers: choosing between two renderers takes time.
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    # Counted, and never reached.
    "DEFAULT_THROTTLE_RATES": {"customer": "100000000/minute"},
}
# Longer than the data is kept; by default they end after ten hours.
REST_KNOX = {"TOKEN_TTL": None}
