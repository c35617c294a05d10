"""djangorestframework-api-key, with a limit and the last use."""

from django.urls import path
from django.utils import timezone
from rest_framework.request import Request

from bench.peers.drf_api_key import HasCustomerApiKey, Me
from bench.peers.limits import CustomerThrottle
from bench.peers.models import CustomerApiKey


class RemembersKey(HasCustomerApiKey):
    """Finds the key once, for itself, the throttle and the view: kinder than what is documented."""

    def has_permission(self, request: Request, view: "LimitedMe") -> bool:
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


urlpatterns = [path("v1/auth/me", LimitedMe.as_view())]
