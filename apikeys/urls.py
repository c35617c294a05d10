from django.urls import path

from apikeys.views import AuthContextView, KeyViewSet

urlpatterns = [
    path("keys", KeyViewSet.as_view({"post": "create"}), name="keys"),
    path("auth/me", AuthContextView.as_view(), name="auth-context"),
]
