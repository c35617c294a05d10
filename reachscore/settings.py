"""All settings. What a deployment can vary is read from the environment, here and nowhere else.

If DATABASE_URL is set, this is production unless DEBUG=true. If not, this is development: the
clone's own PostgreSQL, this machine's own secrets, loopback hosts.
"""

import os
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from reachscore import environment as env
from reachscore.api_document import describe_api
from reachscore.mail_settings import mail as mail_settings
from reachscore.weak_secrets import refuse_weak_secrets
from web.database.session import SESSION, as_options
from web.database.stale import StaleOnceCursor

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = BASE_DIR / ".local"  # Generated on this machine; git ignores it.

env.refuse_development_by_accident(os.environ)
env.refuse_stray_characters(
    os.environ,
    *("DATABASE_URL", "DEBUG", *env.PRODUCTION_ONLY, "ALLOWED_HOSTS", "TRUSTED_PROXY_COUNT"),
    *("PUBLIC_URL", "EMAIL_URL", "EMAIL_FROM", "METRICS_TOKEN", "EGRESS_PROXY", "STAFF_SSO"),
    *("STAFF_PASSWORD_LOGIN", "SECURITY_CONTACT", "SECOND_FACTOR_REQUIRED", "HSTS_PRELOAD"),
    *("PREPARED_STATEMENTS", "AUTHZ_REQUIRES_GATEWAY_TOKEN"),
)
database_url = os.environ.get("DATABASE_URL", "")  # Lower case: debug pages show settings.
PRODUCTION = bool(database_url) and not env.flag(os.environ, "DEBUG", default=False)
DEBUG = env.flag(os.environ, "DEBUG", default=not PRODUCTION)
MAY_SERVE = PRODUCTION or env.flag(os.environ, "DEBUG", default=False)  # See the command `serve`.

if PRODUCTION:
    env.require(os.environ, *env.SECRETS, "ALLOWED_HOSTS", "PUBLIC_URL")
    environ = dict(os.environ)
else:
    environ = {
        "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
        "PUBLIC_URL": "http://localhost:8000",
        **env.development_secrets(LOCAL_DIR / "secrets.json"),
        **{name: value for name, value in os.environ.items() if value},
    }

SECRET_KEY = environ["SECRET_KEY"]
API_KEY_PEPPERS = env.numbered_keys(environ, "API_KEY_PEPPERS")
AUDIT_KEYS = env.numbered_keys(environ, "AUDIT_KEYS")
ENCRYPTION_KEYS = env.numbered_keys(environ, "ENCRYPTION_KEYS")
GATEWAY_TOKENS = env.gateway_tokens(environ, "GATEWAY_TOKEN")  # Authenticate the proxy.
AUTHZ_REQUIRES_GATEWAY_TOKEN = env.flag(
    environ, "AUTHZ_REQUIRES_GATEWAY_TOKEN", default=bool(GATEWAY_TOKENS), needs="GATEWAY_TOKEN"
)
STAFF_GATEWAY_TOKENS = env.staff_gateway_tokens(environ)  # Any: single sign-on is on.
STAFF_PASSWORD_LOGIN = env.flag(environ, "STAFF_PASSWORD_LOGIN", default=True)  # And by passkey.
if PRODUCTION:
    refuse_weak_secrets(environ)
ALLOWED_HOSTS = env.host_names(environ, "ALLOWED_HOSTS")
SECURITY_CONTACT = env.contact(environ, "SECURITY_CONTACT")
# Passkeys are bound to its host name; 127.0.0.1 could have none.
PUBLIC_URL = env.public_url(environ, "PUBLIC_URL", production=PRODUCTION)
TRUSTED_PROXY_COUNT = env.count(environ, "TRUSTED_PROXY_COUNT")  # Used without GATEWAY_TOKEN.
EGRESS_PROXY = env.egress_proxy(environ, "EGRESS_PROXY")
METRICS_TOKEN = env.token(environ, "METRICS_TOKEN")
# If true, staff need an authenticator app beside their password.
SECOND_FACTOR_REQUIRED = env.flag(environ, "SECOND_FACTOR_REQUIRED", default=PRODUCTION)

local = {"ENGINE": "reachscore.devdb", "NAME": "reachscore", "HOME": LOCAL_DIR / "postgres"}
database: dict[str, Any] = env.database_from_url(database_url) if database_url else local
# Persistent connections: opening one costs more than a whole request. Pages check the health of
# theirs; authentication has a cheaper way, see apikeys.authentication.statement.
DATABASES = {"default": database | {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}}
# Seconds, and milliseconds. A silent network must not hold a request for long: see web.deadlines.
options: dict[str, Any] = {"connect_timeout": "3", "tcp_user_timeout": "5000"}
options |= {"keepalives_idle": "10", "keepalives_interval": "2", **database.get("OPTIONS", {})}
# Prepared statements: planning the one that authenticates takes three times as long as running it.
# PREPARED_STATEMENTS=false is for a PgBouncer that cannot keep them.
options |= {"server_side_binding": True, "cursor_factory": StaleOnceCursor}
options["prepare_threshold"] = 5 if env.flag(environ, "PREPARED_STATEMENTS", default=True) else None
options["options"] = f"{options.get('options', '')} {as_options(SESSION)}".strip()
DATABASES["default"]["OPTIONS"] = options
for name in ("PGDATESTYLE", "PGTZ"):  # In libpq they win over `options`.
    os.environ.pop(name, None)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "reachscore",
    "web",
    "audit",
    "accounts",
    "apikeys",
    "notices",
    "staff",
    "staff.apps.StaffAdminConfig",  # Django's admin, on our own site.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
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
    "web.middleware.refuse_large_body_and_key_in_redirect",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "web.middleware.api_middleware",
    "web.middleware.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "staff.login.pages.in_frame",
    "staff.login.sso.SingleSignOn",
    "web.middleware.StaleOnceMiddleware",
]

# Production is HTTPS only. Pages redirect; the API refuses, because a redirect would hide from the
# client that its key was sent in the clear. Probes come from inside, over plain HTTP.
SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)\Z", r"^v1(/|\Z)"]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
# Asks browsers to build the domain into their lists, which takes months to undo.
SECURE_HSTS_PRELOAD = env.flag(environ, "HSTS_PRELOAD", default=False)
CSRF_FAILURE_VIEW = "staff.login.pages.form_not_checked"
SESSION_ENGINE = "staff.login.session_store"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_AGE = 8 * 60 * 60  # Counted from log-in; staff.login.sessions ends idle ones.
PASSWORD_RESET_TIMEOUT = 10 * 60  # Lifetime of links by the command log_in_link, the only ones.

# Pages load and post to this origin only, run nothing inline, and cannot be framed.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
MESSAGE_STORAGE = "web.django_redaction.RedactingStorage"

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
FORM_RENDERER = "staff.kit.forms.Renderer"

AUTH_USER_MODEL = "staff.User"
LOGIN_REDIRECT_URL = "admin:index"  # Used in place of an unsafe `next`.
OTP_TOTP_ISSUER = "ReachScore keys"
OTP_TOTP_SYNC = False  # Do not learn the drift of a phone's clock: 30 s each way are enough.
AUTHENTICATION_BACKENDS = ["staff.login.lockout.LockingBackend"]
# For staff passwords. API keys are random, so a keyed digest (HMAC) is enough for them.
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

# EMAIL_BACKEND and related settings. Without EMAIL_FROM no mail is sent.
mail = mail_settings(environ, production=PRODUCTION, folder=LOCAL_DIR / "mail")
vars().update(mail)
EMAIL_FROM = DEFAULT_FROM_EMAIL = str(mail["EMAIL_FROM"])

USE_I18N = False  # There is one language, so translations need not be looked up.
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "reachscore.formats"  # DATETIME_FORMAT has no effect: locale formats win.

STATIC_URL = "static/"
# Only production collects static files; development serves them from their sources.
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
if PRODUCTION:
    STORAGES = {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    }

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apikeys.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.Closed"],
    "DEFAULT_THROTTLE_CLASSES": ["apikeys.throttling.RateLimit"],
    "DEFAULT_PARSER_CLASSES": ["web.input.body.JsonObjectParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "web.exception_handlers.handle_exception",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = describe_api(PUBLIC_URL)

# One handler, on the root: a logger with a handler of its own would bypass the redaction. Django's
# and granian's loggers have one until they are named here.
LOGGING_CONFIG = "web.telemetry.logs.configure"
DEFAULT_EXCEPTION_REPORTER = "web.django_redaction.RedactingReporter"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "one": {"()": f"web.telemetry.logs.{'Json' if PRODUCTION else 'Text'}Formatter"}
    },
    "filters": {"bugs": {"()": "web.errors.faults.OnlyBugs"}},
    "handlers": {"one": {"class": "web.telemetry.logs.OneHandler", "formatter": "one"}},
    "root": {"handlers": ["one"], "level": "INFO"},
    "loggers": {
        "django": {"level": "INFO"},
        # The request log has a line for every request. These loggers add bugs only, because their
        # other lines repeat raw paths and other input of strangers.
        "django.request": {"level": "ERROR", "filters": ["bugs"]},
        "django.security": {"level": "CRITICAL"},
        "django.server": {"level": "CRITICAL", "propagate": True},
        "_granian": {"level": "WARNING", "propagate": True},
        "granian.access": {"level": "WARNING", "propagate": True},
    },
}
