"""The project's settings, on a PostgreSQL of the test run's own and with quick password hashing."""

import os
import tempfile
import uuid
from pathlib import Path

# No variable of the developer's shell may reach the tests or their database.
for name in (
    "DATABASE_URL",
    "DEBUG",
    "SECRET_KEY",
    "API_KEY_PEPPERS",
    "AUDIT_KEYS",
    "ENCRYPTION_KEYS",
    "PUBLIC_URL",
    "SECOND_FACTOR_REQUIRED",
    "TRUSTED_PROXY_COUNT",
    "EMAIL_URL",
    "EMAIL_FROM",
    "EGRESS_PROXY",
    "GATEWAY_TOKEN",
    "AUTHZ_REQUIRES_GATEWAY_TOKEN",
    "STAFF_SSO",
    "STAFF_GATEWAY_TOKEN",
    "STAFF_PASSWORD_LOGIN",
):
    os.environ.pop(name, None)
os.environ["ALLOWED_HOSTS"] = "127.0.0.1,localhost,[::1],testserver"
# In the environment, so that servers started by a test find the same cluster.
# Made when it is first used, and removed when the last of them has ended.
os.environ.setdefault(
    "REACHSCORE_TEST_CLUSTER", f"{tempfile.gettempdir()}/reachscore-tests-{uuid.uuid4().hex[:12]}"
)

from reachscore.api_document import describe_api  # noqa: E402
from reachscore.settings import *  # noqa: E402, F403
from reachscore.settings import DATABASES, INSTALLED_APPS, PUBLIC_URL  # noqa: E402

# Tests that run side by side have a cluster each, so that each sees a first run.
home = os.environ["REACHSCORE_TEST_CLUSTER"] + os.environ.get("PYTEST_XDIST_WORKER", "")
DATABASES["default"] |= {"HOME": Path(home), "THROWAWAY": True}
# For servers that a test starts to ask for it.
MAY_SERVE = True
PUBLIC_URL = os.environ.get("REACHSCORE_TEST_PUBLIC_URL", PUBLIC_URL)
SPECTACULAR_SETTINGS = describe_api(PUBLIC_URL)
SECOND_FACTOR_REQUIRED = "REACHSCORE_TEST_SECOND_FACTOR" in os.environ
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [*INSTALLED_APPS, "tests.sibling"]  # No part of the product.
# Look for a file when it is asked for, as in development: each client of a test builds the
# middleware anew, and would look for all of them.
WHITENOISE_AUTOREFRESH = True
