from django.urls import path

from apikeys.views import AuthContextView, KeyViewSet, UsageView

urlpatterns = [
    path("keys", KeyViewSet.as_view({"get": "list", "post": "create"}), name="keys"),
    path(
        "keys/<str:key_id>",
        KeyViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="key",
    ),
    path("keys/<str:key_id>/rotate", KeyViewSet.as_view({"post": "rotate"}), name="key-rotate"),
    path(
        "keys/<str:key_id>/finish_rotation",
        KeyViewSet.as_view({"post": "finish_rotation"}),
        name="key-finish-rotation",
    ),
    path("keys/<str:key_id>/events", KeyViewSet.as_view({"get": "events"}), name="key-events"),
    path("keys/<str:key_id>/usage", KeyViewSet.as_view({"get": "usage"}), name="key-usage"),
    path("usage", UsageView.as_view(), name="usage"),
    path("auth/me", AuthContextView.as_view(), name="auth-context"),
]
