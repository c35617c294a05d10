"""djangorestframework-api-key: a permission on a model of keys with an organization.

As its documentation has it: the permission says yes or no, and a view that wants to know whose key
it is asks once more with `get_from_key`.
"""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import BaseHasAPIKey

from bench.peers.answer import answer
from bench.peers.models import CustomerApiKey


class HasCustomerApiKey(BaseHasAPIKey):
    model = CustomerApiKey


class Me(APIView):
    authentication_classes: list[type] = []
    permission_classes = [HasCustomerApiKey]

    def get(self, request: Request) -> Response:
        return Response(answer(self.key_of(request)))

    def key_of(self, request: Request) -> CustomerApiKey:
        key: CustomerApiKey = CustomerApiKey.objects.get_from_key(
            request.META["HTTP_AUTHORIZATION"].split()[1]
        )
        return key


urlpatterns = [path("v1/auth/me", Me.as_view())]
