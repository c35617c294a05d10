"""djangorestframework-api-key: a permission on a model of keys with an organization.

As its documentation has it: the permission says yes or no, and a view that wants to know whose key
it is asks once more with `get_from_key`. Limited: with a limit and the last use.
"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import BaseHasAPIKey

from bench.peers.answer import answer
from bench.peers.models import CustomerApiKey
from bench.peers.views import CustomerThrottle


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


class RemembersKey(HasCustomerApiKey):
    """Finds the key once, for itself, the throttle and the view: kinder than what is documented."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        plaintext = self.get_key(request)
        if not plaintext:
            return False
        try:
            request.user = CustomerApiKey.objects.get_from_key(plaintext)
        except CustomerApiKey.DoesNotExist:
            return False
        return not request.user.has_expired


class LimitedMe(Me):
    permission_classes = [RemembersKey]
    throttle_classes = [CustomerThrottle]

    def key_of(self, request: Request) -> CustomerApiKey:
        key: CustomerApiKey = request.user
        CustomerApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
        return key
