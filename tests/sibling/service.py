"""The addresses of the service with the sibling in it, for `override_settings(ROOT_URLCONF=…)`."""

from django.urls import include, path

from reachscore import urls

# Before the product's own, whose last line takes whatever is left under /v1.
urlpatterns = [path("v1/", include("tests.sibling.urls")), *urls.urlpatterns]

handler400, handler404, handler500 = urls.handler400, urls.handler404, urls.handler500
