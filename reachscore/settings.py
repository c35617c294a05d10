"""All settings. Whatever a deployment varies is read from the environment, here and nowhere else.

Without DATABASE_URL this is development: a PostgreSQL of this clone's, secrets of this machine,
loopback hosts. With it, this is production, unless DEBUG=true.
"""

import os
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from reachscore.environment import (
    PRODUCTION_ONLY,
    SECRETS,
    contact,
    count,
    database_from_url,
    development_secrets,
    flag,
    gateway_tokens,
    host_names,
    mail_from_url,
    numbered_keys,
    public_url,
    refuse_development_by_accident,
    refuse_stray_characters,
    require,
    staff_gateway_tokens,
    token,
)
from reachscore.weak_secrets import refuse_weak_secrets
from web.database.session import SESSION, as_options
from web.database.stale import StaleOnceCursor

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = BASE_DIR / ".local"  # What is made on this machine; git ignores it.

refuse_development_by_accident(os.environ)
refuse_stray_characters(
    os.environ,
    *("DATABASE_URL", "DEBUG", *PRODUCTION_ONLY, "ALLOWED_HOSTS", "TRUSTED_PROXY_COUNT"),
    *(
        "PUBLIC_URL",
        "EMAIL_URL",
        "METRICS_TOKEN",
        "STAFF_SSO",
        "STAFF_PASSWORD_LOGIN",
    ),
    *("SECURITY_CONTACT", "SECOND_FACTOR_REQUIRED", "PREPARED_STATEMENTS", "HSTS_PRELOAD"),
)
database_url = os.environ.get("DATABASE_URL", "")  # No setting: debug pages show those.
PRODUCTION = bool(database_url) and not flag(os.environ, "DEBUG", default=False)
DEBUG = flag(os.environ, "DEBUG", default=not PRODUCTION)
MAY_SERVE = PRODUCTION or flag(os.environ, "DEBUG", default=False)  # See the command `serve`.

if PRODUCTION:
    require(os.environ, *SECRETS, "ALLOWED_HOSTS", "PUBLIC_URL")
    environ = dict(os.environ)
else:
    environ = {
        "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
        "PUBLIC_URL": "http://localhost:8000",
        **development_secrets(LOCAL_DIR / "secrets.json"),
        **{name: value for name, value in os.environ.items() if value},
    }

SECRET_KEY = environ["SECRET_KEY"]
API_KEY_PEPPERS = numbered_keys(environ, "API_KEY_PEPPERS")
AUDIT_KEYS = numbered_keys(environ, "AUDIT_KEYS")
ENCRYPTION_KEYS = numbered_keys(environ, "ENCRYPTION_KEYS")
GATEWAY_TOKENS = gateway_tokens(environ, "GATEWAY_TOKEN")  # By them the proxy proves itself.
STAFF_GATEWAY_TOKENS = staff_gateway_tokens(environ)  # Single sign-on, if there are any.
STAFF_PASSWORD_LOGIN = flag(environ, "STAFF_PASSWORD_LOGIN", default=True)  # And by passkey.
if PRODUCTION:
    refuse_weak_secrets(environ)
ALLOWED_HOSTS = host_names(environ, "ALLOWED_HOSTS")
# Passkeys belong to its host; 127.0.0.1 could have none.
SECURITY_CONTACT = contact(environ, "SECURITY_CONTACT")
PUBLIC_URL = public_url(environ, "PUBLIC_URL", production=PRODUCTION)
TRUSTED_PROXY_COUNT = count(environ, "TRUSTED_PROXY_COUNT", default=0)  # Where none has a token.
METRICS_TOKEN = token(environ, "METRICS_TOKEN")
# Whether staff need an authenticator app beside their password.
SECOND_FACTOR_REQUIRED = flag(environ, "SECOND_FACTOR_REQUIRED", default=PRODUCTION)

DATABASES: dict[str, dict[str, Any]] = {
    "default": database_from_url(database_url)
    if database_url
    else {
        "ENGINE": "reachscore.devdb",
        "NAME": "reachscore",
        "HOME": LOCAL_DIR / "postgres",
    }
}
DATABASES["default"]["CONN_MAX_AGE"] = None  # One a request would cost more than the request.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # Authentication has a cheaper way.
options = DATABASES["default"].setdefault("OPTIONS", {})
# A server that does not answer must not hold a request for long.
options.setdefault("connect_timeout", "3")
# Planning the statement that authenticates takes three times as long as running it, so that each
# connection plans it once. `false` is for a PgBouncer that cannot keep prepared statements.
options["server_side_binding"] = True
options["prepare_threshold"] = 5 if flag(environ, "PREPARED_STATEMENTS", default=True) else None
options["cursor_factory"] = StaleOnceCursor
options["options"] = f"{options.get('options', '')} {as_options(SESSION)}".strip()
for name in ("PGDATESTYLE", "PGTZ"):  # libpq would have them win over those.
    os.environ.pop(name, None)
LONGEST_DATABASE_WAIT_SECONDS = 5  # For a commit, too; see web.database.
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "reachscore",
    "web",
    "audit",
    "accounts",
    "apikeys",
    "staff",
    "staff.apps.StaffAdminConfig",  # Django's admin, on a site of ours.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_otp.plugins.otp_totp",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]

MIDDLEWARE = [
    "web.telemetry.request_log.RequestLogMiddleware",
    "web.middleware.ApiMiddleware",
    # From here on for pages only: from ApiMiddleware, a call goes to the views.
    "web.database.broken_connections.close_before_page",
    "web.page_security.refuse_large_body_and_key_in_redirect",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "web.page_security.refuse_key_in_page_url",
    "web.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "staff.login.refused.in_frame",
    "staff.login.sso.SingleSignOn",
    "web.database.broken_connections.StaleOnceMiddleware",
    "web.middleware.end_of_pages",
]

# Production is HTTPS only: pages redirect, the API refuses (a redirect would hide from the client
# that its key went over the wire in the clear), and probes come from inside.
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)\Z"]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
# Asks browsers to build the domain into their lists, which takes months to undo.
SECURE_HSTS_PRELOAD = flag(environ, "HSTS_PRELOAD", default=False)
CSRF_FAILURE_VIEW = "staff.login.refused.form_not_checked"
SESSION_ENGINE = "staff.login.session_store"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_AGE = 8 * 60 * 60  # From the log-in on; staff.login.sessions ends idle ones.

PASSWORD_RESET_TIMEOUT = 10 * 60  # Of a link by the command log_in_link; there are no others.

# Pages load from here alone, run nothing inline, post nowhere else and are framed nowhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"  # The same for browsers that know no frame-ancestors.
MESSAGE_STORAGE = "web.redacting.RedactingStorage"

ROOT_URLCONF = "reachscore.urls"
WSGI_APPLICATION = "reachscore.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_USER_MODEL = "staff.User"
LOGIN_REDIRECT_URL = "admin:index"  # Where a `next` that is none of our addresses leads.
OTP_TOTP_ISSUER = "ReachScore keys"
OTP_TOTP_SYNC = False  # A code counts half a minute before and after, by this clock.
AUTHENTICATION_BACKENDS = ["staff.login.lockout.LockingBackend"]
# For staff. API keys are random, not chosen, and are digested under a pepper instead.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]

# Tells staff what was done to their accounts: EMAIL_BACKEND and the like.
vars().update(mail_from_url(environ, "EMAIL_URL", production=PRODUCTION))

USE_I18N = False  # There is one language: nothing is looked up for it.
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "reachscore.formats"  # Locale formats win over DATETIME_FORMAT.

STATIC_URL = "static/"
# Only production collects; in development the files are served from where they lie.
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
if PRODUCTION:
    STORAGES = {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apikeys.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.Closed"],
    "DEFAULT_THROTTLE_CLASSES": ["apikeys.throttling.RateLimit"],
    "DEFAULT_PARSER_CLASSES": ["web.input.body.JsonObjectParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "web.output.negotiation.SteadyNegotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "web.handler.handle_exception",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "ReachScore API",
    "VERSION": "1",
    "DESCRIPTION": (
        "API keys and the authentication context of ReachScore. Every request carries a key: "
        "`Authorization: Bearer rk_live_…` for real data, `rk_test_…` for the sandbox. Every "
        "error has one shape, and its `code` is explained on the [error page](/docs/errors)."
    ),
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/v1",
    # Enumerations stand where they are used; as components they would need invented names.
    "POSTPROCESSING_HOOKS": [],
    "SERVERS": [{"url": "/"}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "docExpansion": "list"},
}

# One handler, on the root: what has a handler of its own would go round the redaction. Django's and
# granian's have one until they are named here.
LOGGING_CONFIG = "web.telemetry.logs.configure"
DEFAULT_EXCEPTION_REPORTER = "web.redacting.RedactingReporter"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "web.telemetry.logs.JsonFormatter"},
        "text": {"()": "web.telemetry.logs.TextFormatter"},
    },
    "filters": {"bugs": {"()": "web.errors.faults.OnlyBugs"}},
    "handlers": {
        "one": {
            "class": "web.telemetry.logs.OneHandler",
            "formatter": "json" if PRODUCTION else "text",
        }
    },
    "root": {"handlers": ["one"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # Every request has its line already; these add what it does not say, which is bugs, and
        # none writes a raw path or what else a stranger makes up.
        "django.request": {"handlers": [], "level": "ERROR", "filters": ["bugs"]},
        "django.security": {"handlers": [], "level": "CRITICAL"},
        "django.server": {"handlers": [], "level": "CRITICAL", "propagate": True},
        "_granian": {"handlers": [], "level": "WARNING", "propagate": True},
        "granian.access": {"handlers": [], "level": "WARNING", "propagate": True},
    },
}
