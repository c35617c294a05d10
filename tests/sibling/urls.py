from django.urls import path

from tests.sibling.views import DomainsView, DomainView, TestsView

urlpatterns = [
    path("tests", TestsView.as_view(), name="tests"),
    path("domains", DomainsView.as_view(), name="domains"),
    path("domains/<str:domain_id>", DomainView.as_view(), name="domain"),
]
