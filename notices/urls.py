from django.urls import path

from notices import pages
from notices.api.organization import OrganizationView
from notices.leaks.exposed import RevokeExposedView, revoke_page
from notices.leaks.receiver import ORIGINS, LeakReportView

urlpatterns = [
    path("v1/organization", OrganizationView.as_view(), name="organization"),
    path("contacts/verify/<str:token>", pages.verify_contact, name="verify-contact"),
    path("contacts/unsubscribe/<str:token>", pages.unsubscribe, name="unsubscribe"),
    path("v1/revoke_exposed", RevokeExposedView.as_view(), name="revoke-exposed"),
    path("revoke", revoke_page, name="revoke"),
    *(
        path(f"v1/leak_reports/{origin}", LeakReportView.as_view(), {"origin": origin})
        for origin in ORIGINS
    ),
]
