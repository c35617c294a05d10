from django.urls import path

from apikeys.api.events import EventsView, KeyEventsView
from apikeys.api.me_and_usage import AuthContextView, UsageView
from apikeys.api.views import KeyViewSet

# In the order of the OpenAPI document: create, use, rotate, revoke.
urlpatterns = [
    path("v1/keys", KeyViewSet.as_view({"get": "list", "post": "create"})),
    path("v1/auth/me", AuthContextView.as_view(), name="auth-context"),
    path("v1/usage", UsageView.as_view()),
    path("v1/keys/<str:key_id>/usage", KeyViewSet.as_view({"get": "usage"})),
    path("v1/keys/<str:key_id>/rotate", KeyViewSet.as_view({"post": "rotate"})),
    path("v1/keys/<str:key_id>/finish_rotation", KeyViewSet.as_view({"post": "finish_rotation"})),
    path("v1/keys/<str:key_id>/events", KeyEventsView.as_view()),
    path("v1/events", EventsView.as_view()),
    path(
        "v1/keys/<str:key_id>",
        KeyViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="key",
    ),
]
