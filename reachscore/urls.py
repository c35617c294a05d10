from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView
from drf_spectacular.renderers import OpenApiYamlRenderer2

from apikeys.api.urls import urlpatterns as api_patterns
from notices.urls import urlpatterns as notices_patterns
from reachscore import health
from staff.login import sso
from web import exception_handlers
from web.errors.catalogue import CATALOGUE
from web.output import pages, portal
from web.output.scanner_rules import RULE_FILES, rule_file
from web.telemetry import exposition

ERROR_PAGE = {"template": "docs/errors.html", "catalogue": CATALOGUE}
RULES_PAGE = {"template": "docs/scanner_rules.html", "rule_files": RULE_FILES}

urlpatterns = [
    *api_patterns,
    *notices_patterns,
    path("", pages.home, name="home"),
    path("v1/openapi.json", pages.OpenApiView.as_view(), name="openapi"),
    path("v1/openapi.yaml", pages.OpenApiView.as_view(renderer_classes=[OpenApiYamlRenderer2])),
    re_path(r"^v1(?:/[\s\S]*)?\Z", exception_handlers.unknown_path, name="unknown"),
    path("docs", portal.show, {"template": "docs/index.html"}, name="docs"),
    re_path(r"^docs/(?:guides/?)?\Z", RedirectView.as_view(pattern_name="docs")),
    path("docs/reference", pages.reference, name="reference"),
    path("docs/errors", portal.show, ERROR_PAGE, name="errors"),
    path("docs/search", portal.search, name="docs-search"),
    path("docs/<path:address>", portal.docs_page, name="docs-page"),
    path("scanner-rules/", portal.show, RULES_PAGE, name="scanner-rules"),
    path("scanner-rules/<str:tool>", rule_file, name="scanner-rule"),
    path("llms.txt", portal.show, {"template": "docs/llms.txt"}, name="llms"),
    path("favicon.ico", pages.favicon),
    path(".well-known/security.txt", pages.security_txt),
    path("admin/log_in_link/<int:pk>/<str:token>/", sso.log_in_link, name="log_in_link"),
    path("admin/", admin.site.urls),
    path("metrics", exposition.metrics),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]

handler404 = exception_handlers.not_found
handler400 = exception_handlers.bad_request
handler500 = exception_handlers.server_error
