from django.urls import path

from notices.leaks.exposed import RevokeExposedView, revoke_page

urlpatterns = [
    path("v1/revoke_exposed", RevokeExposedView.as_view(), name="revoke-exposed"),
    path("revoke", revoke_page, name="revoke"),
]
