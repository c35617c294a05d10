"""The endpoints: `/v1/keys` with what lies below, `GET /v1/usage` and `GET /v1/auth/me`."""

from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.viewsets import ViewSetMixin

from apikeys.api import answers, context, documentation, events, serializers
from apikeys.api.filters import filtered, presentable
from apikeys.authentication.bearer import authenticate
from apikeys.authentication.caller import Caller, caller_of
from apikeys.models import ApiKey, KeyDay
from apikeys.permissions import (
    AnyCaller,
    AnyKey,
    ManagesKeys,
    ManagesKeysOrItself,
    requires,
)
from apikeys.scopes import Scope
from apikeys.verbs.ceiling import INHERITABLE
from apikeys.verbs.change import change
from apikeys.verbs.issue import issue_once
from apikeys.verbs.revoke import revoke, revoke_with_all_it_made
from apikeys.verbs.rotate import finish_rotation, rotate
from audit.models import AuditEvent
from web.errors.handler import handle_exception
from web.errors.refusals import ResourceNotFound
from web.input.body import has_body
from web.input.idempotency import REPLAYED_HEADER, fingerprint, idempotency_token
from web.input.parameters import ID_SHAPE
from web.output.json_response import json_response
from web.output.lists import list_page
from web.output.negotiation import accepts_anything
from web.output.views import ApiView


def keys_of(caller: Caller) -> QuerySet[ApiKey]:
    """Return the keys that exist for a caller: those of its organization and mode."""
    return ApiKey.objects.filter(**caller.ownership)


def visible_keys(caller: Caller) -> QuerySet[ApiKey]:
    """Return the keys that a caller may list: a restricted key sees itself only."""
    keys = keys_of(caller)
    return keys if caller.is_unrestricted else keys.filter(pk=caller.key_id)


class KeyViewSet(ViewSetMixin, ApiView):
    """An organization's API keys of the caller's mode."""

    queries = {
        "list": serializers.KeyListQuery,
        "destroy": serializers.RevocationQuery,
        "events": serializers.EventListQuery,
        "usage": serializers.KeyUsageQuery,
    }
    repeatable = frozenset({"rotate", "finish_rotation"})
    permissions: ClassVar[dict[str, type[BasePermission]]] = {
        "list": AnyKey,
        "retrieve": ManagesKeysOrItself,
        "usage": ManagesKeysOrItself,
        "rotate": ManagesKeysOrItself,
        "finish_rotation": ManagesKeysOrItself,
        "destroy": ManagesKeysOrItself,
    }

    def get_permissions(self) -> list[Any]:
        """Return the permission of the action; by default only managing keys may."""
        return [self.permissions.get(self.action, ManagesKeys)()]

    @documentation.list_keys
    def list(self, request: Request) -> HttpResponse:
        """List keys, newest first; a restricted key sees itself only."""
        keys = visible_keys(caller_of(request))
        page = list_page(
            presentable(filtered(keys, self.query)),
            cursors=keys,
            keyset=("created_at", "id"),
            query=self.query,
            serializer=answers.Key,
        )
        return json_response(page)

    @documentation.create_key
    def create(self, request: Request) -> HttpResponse:
        """Make a key of the caller's organization and mode, and show it once."""
        caller = caller_of(request)
        fields = self.body(serializers.KeyRequest)
        api_key = ApiKey(**caller.ownership, **fields)
        token = idempotency_token(request)
        key_id, plaintext, is_replay = issue_once(
            api_key,
            actor=caller.actor,
            inherit=set(INHERITABLE) - set(fields),
            token=token,
            fingerprint=fingerprint(request, request.data) if token else b"",
        )
        headers = {REPLAYED_HEADER: "true"} if is_replay else {}
        shown = self._show(key_id) if is_replay else answers.just_issued(api_key)
        answer = answers.IssuedKey(shown, plaintext=plaintext)
        return json_response(answer.data, status=201, headers=headers)

    @documentation.retrieve_key
    def retrieve(self, request: Request, key_id: str) -> HttpResponse:
        """Show a key, with the use of its scopes."""
        return json_response(answers.Key(self._show(key_id)).data)

    @documentation.key_usage
    def usage(self, request: Request, key_id: str) -> HttpResponse:
        """Show a key's requests by day."""
        api_key, today = self._find(key_id), timezone.now().date()
        days = KeyDay.last_of(api_key.pk, days=self.query["days"], today=today)
        answer = {"key_id": api_key.pk, "days": days, "livemode": api_key.livemode}
        return json_response(answers.KeyUsage(answer).data)

    @documentation.change_key
    def partial_update(self, request: Request, key_id: str) -> HttpResponse:
        """Change what is given of a key."""
        fields = self.body(serializers.KeyChange)
        change(self._find(key_id), actor=caller_of(request).actor, **fields)
        return json_response(answers.Key(self._show(key_id)).data)

    @documentation.revoke_key
    def destroy(self, request: Request, key_id: str) -> HttpResponse:
        """Revoke a key, and with `cascade` everything it made."""
        actor, reason = caller_of(request).actor, self.query["reason"]
        answer: dict[str, Any] = {}
        if self.query["cascade"]:
            ManagesKeys().has_permission(request, self)
            cascade = revoke_with_all_it_made(self._find(key_id), actor=actor, reason=reason)
            answer["cascade"] = answers.CascadeCounts(cascade).data
        else:
            revoke(self._find(key_id), actor=actor, reason=reason)
        return json_response({**answers.Key(self._show(key_id)).data, **answer})

    @documentation.rotate_key
    def rotate(self, request: Request, key_id: str) -> HttpResponse:
        """Give a key a new secret and show it once; the old one lives on for a while."""
        overlap = timedelta(
            seconds=self.body(serializers.RotationRequest, optional=True)["overlap_seconds"]
        )
        plaintext = rotate(self._find(key_id), actor=caller_of(request).actor, overlap=overlap)
        return json_response(answers.IssuedKey(self._show(key_id), plaintext=plaintext).data)

    @documentation.finish_rotation
    def finish_rotation(self, request: Request, key_id: str) -> HttpResponse:
        """End the secret that is being rotated out."""
        self.body(serializers.NoBody, optional=True)
        finish_rotation(self._find(key_id), actor=caller_of(request).actor)
        return json_response(answers.Key(self._show(key_id)).data)

    @documentation.list_events
    def events(self, request: Request, key_id: str) -> HttpResponse:
        """List what was done to a key, or what it did, newest first."""
        api_key = self._find(key_id)
        of_key = {f"{self.query['role']}_id": api_key.pk}
        log = AuditEvent.objects.filter(organization_id=api_key.organization_id, **of_key)
        page = list_page(
            log, cursors=log, keyset=("sequence",), query=self.query, serializer=events.Event
        )
        return json_response(page)

    def _find(self, key_id: str) -> ApiKey:
        """Return a key that exists for the caller. Raise ResourceNotFound for any other id."""
        return self._only(keys_of(caller_of(self.request)), key_id)

    def _show(self, key_id: str) -> Any:
        """Return the same key as `presentable`. Raise ResourceNotFound for any other id."""
        return self._only(presentable(keys_of(caller_of(self.request))), key_id)

    @staticmethod
    def _only(keys: QuerySet[ApiKey], key_id: str) -> ApiKey:
        found = keys.filter(pk=key_id).first() if ID_SHAPE.fullmatch(key_id) else None
        if found is None:
            raise ResourceNotFound("Your organization has no such key in this mode.")
        return found


class AuthContextView(ApiView):
    """Who is calling."""

    permission_classes = [AnyCaller]
    queries = {"get": serializers.AuthContextQuery}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take a short way with the most frequent request: a GET with nothing but a key.

        Of DRF's steps, authentication and limit are all that such a request can fail; a parameter,
        a body, another method or a choice of media types takes the long way.
        """
        has_more = bool(request.META.get("QUERY_STRING")) or has_body(request)
        if request.method != "GET" or has_more or not accepts_anything(request):
            return super().dispatch(request, *args, **kwargs)
        try:
            caller = authenticate(request)
            caller.require_rate(now=timezone.now())
            return json_response(context.auth_context(caller))
        except Exception as exception:
            return handle_exception(exception, {"view": self})

    @documentation.auth_context
    def get(self, request: Request) -> HttpResponse:
        """Say whose key this is, what it may do and how much of the plan is used."""
        caller = caller_of(request)
        answer = context.auth_context(caller)
        if "require" in self.query:
            missing = [scope for scope in self.query["require"] if scope not in caller.scopes]
            answer |= {"allowed": not missing, "missing": missing}
        return json_response(answer)


class UsageView(ApiView):
    """What the organization used."""

    permission_classes = [requires(read=Scope.BILLING_MANAGE)]

    @documentation.usage
    def get(self, request: Request) -> HttpResponse:
        """Show the current month of the caller's organization and mode."""
        caller = caller_of(request)
        return json_response(context.usage(caller, now=timezone.now()))
