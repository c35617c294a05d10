"""The endpoints: `POST /v1/keys` and `GET /v1/auth/me`."""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from accounts.models.usage import used_now
from apikeys import documentation
from apikeys.callers import caller_of
from apikeys.models import ApiKey
from apikeys.permissions import AnyCaller, ManagesKeys
from apikeys.scopes import ALL_SCOPES
from apikeys.serializers import KeyRequest, auth_context, issued_key
from reachscore.api.views import ApiView


class KeyViewSet(ViewSetMixin, ApiView):
    """An organization's API keys."""

    permission_classes = [ManagesKeys]

    @documentation.create_key
    def create(self, request: Request) -> Response:
        """Make a key of the caller's organization and mode, and show it once."""
        caller = caller_of(request)
        fields = self.body(KeyRequest)
        api_key = ApiKey(
            organization_id=caller.organization_id,
            livemode=caller.livemode,
            name=fields["name"],
            scopes=fields.get("scopes", list(ALL_SCOPES)),
            expires_at=fields.get("expires_at"),
        )
        plaintext = api_key.issue(actor=caller.actor, inherit_expiry="expires_at" not in fields)
        return Response(issued_key(api_key, plaintext), status=201)


class AuthContextView(ApiView):
    """Who is calling."""

    permission_classes = [AnyCaller]

    @documentation.auth_context
    def get(self, request: Request) -> Response:
        """Say whose key this is, what it may do and how much of the plan is used."""
        caller = caller_of(request)
        used = used_now(
            caller.organization_id,
            livemode=caller.livemode,
            tests_renew=caller.tests_renew,
            now=timezone.now(),
        )
        return Response(auth_context(caller, used))
