"""The endpoints from `/v1/keys` on. Their docstrings are their texts in the OpenAPI document."""

from datetime import timedelta
from typing import Any, ClassVar

from django.urls import reverse
from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from apikeys.api import answers, documentation, serializers
from apikeys.api.documentation import endpoint
from apikeys.api.querysets import filtered, find_key, keys_of, presentable, visible_keys
from apikeys.authentication.caller import caller_of
from apikeys.models import ApiKey, KeyDay
from apikeys.permissions import AnyKey, ManagesKeys, ManagesKeysOrItself
from apikeys.verbs.ceiling import INHERITABLE
from apikeys.verbs.change import change
from apikeys.verbs.issue import issue_once
from apikeys.verbs.revoke import revoke, revoke_with_all_it_made
from apikeys.verbs.rotate import finish_rotation, rotate
from apikeys.verbs.rules import clean
from web.errors.refusals import Faults
from web.input.body import JSON_TYPES
from web.input.idempotency import REPLAYED_HEADER, fingerprint, idempotency_token
from web.output.lists import list_page
from web.output.views import ApiView


class KeyViewSet(ViewSetMixin, ApiView):
    """An organization's API keys of the caller's mode."""

    queries = {
        "list": serializers.KeyListQuery,
        "destroy": serializers.RevocationQuery,
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

    @endpoint(
        "list_keys",
        "List API keys",
        answers.ApiKeyList,
        serializers.KeyListQuery,
        guide="pagination",
    )
    def list(self, request: Request) -> Response:
        """List the keys of your organization in the calling key's mode, newest first. A restricted
        key sees itself only.
        """
        keys = visible_keys(caller_of(request))
        page = list_page(
            presentable(filtered(keys, self.query)),
            cursors=keys,
            keyset=("created_at", "id"),
            query=self.query,
            serializer=answers.Key,
        )
        return Response(page)

    @endpoint(
        "create_key",
        "Create an API key",
        answers.ApiKeyWithSecret,
        documentation.TOKEN,
        documentation.LOCATION,
        documentation.REPLAYED,
        request=serializers.ApiKeyCreate,
        status=201,
        guide="idempotency",
        errors=documentation.OF_A_CREATION,
        sent={"A key for CI": {"name": "CI/CD Pipeline", "scopes": ["tests:read", "tests:write"]}},
    )
    def create(self, request: Request) -> Response:
        """Make a key of your organization, in the mode of the key that calls. The whole key is in
        this answer and nowhere else, ever: store it at once. Takes an unrestricted key, one that
        holds every scope, and gives nothing that the calling key does not hold. Left out, `scopes`
        are all there are; the other fields are then as the calling key has them.
        """
        caller, fields, faults = caller_of(request), dict[str, Any](), Faults()
        with faults.noted():
            fields = self.body(serializers.ApiKeyCreate)
        with faults.noted():
            token = idempotency_token(request)
        if faults:
            with faults.noted():
                clean(fields)
        faults.refuse()
        api_key = ApiKey(**caller.ownership, **fields)
        key_id, plaintext, is_replay = issue_once(
            api_key,
            actor=caller.actor,
            inherit=set(INHERITABLE) - set(fields),
            token=token,
            fingerprint=fingerprint(request, request.data) if token else b"",
        )
        headers = {"Location": reverse("key", kwargs={"key_id": key_id})}
        headers |= {REPLAYED_HEADER: "true"} if is_replay else {}
        shown = self._show(key_id) if is_replay else answers.just_issued(api_key)
        answer = answers.ApiKeyWithSecret(shown, plaintext=plaintext)
        return Response(answer.data, status=201, headers=headers)

    @endpoint("get_key", "Show an API key", answers.Key, takes=documentation.ITSELF)
    def retrieve(self, request: Request, key_id: str) -> Response:
        """Show a key with the use of its scopes."""
        return Response(answers.Key(self._show(key_id)).data)

    @endpoint(
        "get_key_usage",
        "Show an API key's requests",
        answers.ApiKeyUsage,
        serializers.KeyUsageQuery,
        takes=documentation.ITSELF,
    )
    def usage(self, request: Request, key_id: str) -> Response:
        """Count the requests by day in UTC, up to today. Days without requests are zero."""
        api_key, today = self._find(key_id), timezone.now().date()
        days = KeyDay.last_of(api_key.pk, days=self.query["days"], today=today)
        answer = {"key_id": api_key.pk, "days": days, "livemode": api_key.livemode}
        return Response(answers.ApiKeyUsage(answer).data)

    @endpoint(
        "change_key",
        "Change an API key",
        answers.Key,
        documentation.ACCEPT_PATCH,
        request=dict.fromkeys(JSON_TYPES, serializers.ApiKeyUpdate),
        errors=(*documentation.OF_A_CHANGE, "unsupported_media_type"),
        sent={"Fewer scopes": {"scopes": ["tests:read"]}, "Any address": {"allowed_ips": None}},
    )
    def partial_update(self, request: Request, key_id: str) -> Response:
        """Set what is given and leave the rest. It holds from the next request on. Takes an
        unrestricted key, and for another key than itself one without limits of its own. Gives
        nothing that the calling key does not hold. A revoked or expired key cannot be changed.
        """
        fields = self.body(serializers.ApiKeyUpdate)
        change(self._find(key_id), actor=caller_of(request).actor, **fields)
        return Response(answers.Key(self._show(key_id)).data)

    @endpoint(
        "revoke_key",
        "Revoke an API key",
        answers.RevokedApiKey,
        serializers.RevocationQuery,
        takes=documentation.ITSELF,
    )
    def destroy(self, request: Request, key_id: str) -> Response:
        """Revoke a key at once and for good; once more changes nothing. With `cascade`, every key
        that it made is revoked and every secret that it issued is ended, through all generations,
        even if the key itself is revoked already.
        """
        actor, reason = caller_of(request).actor, self.query["reason"]
        answer: dict[str, Any] = {}
        if self.query["cascade"]:
            ManagesKeys().has_permission(request, self)
            cascade = revoke_with_all_it_made(self._find(key_id), actor=actor, reason=reason)
            answer["cascade"] = answers.CascadeCounts(cascade).data
        else:
            revoke(self._find(key_id), actor=actor, reason=reason)
        return Response({**answers.Key(self._show(key_id)).data, **answer})

    @endpoint(
        "rotate_key",
        "Rotate an API key",
        answers.ApiKeyWithSecret,
        takes=documentation.NO_LIMITS,
        guide="rotation",
        request={"application/json": serializers.RotationRequest},
        errors=documentation.OF_A_CHANGE,
        sent={"An hour": {"overlap_seconds": 3600}},
    )
    def rotate(self, request: Request, key_id: str) -> Response:
        """Give the key a new secret. The id and all the rest stay; the old secret works for
        `overlap_seconds` more, and never beyond the key's own end. While a rotation is open and its
        new secret was never used, rotating again replaces that one, and the old one ends no later
        than it would: this request can be sent again, and an `Idempotency-Key` has no effect. Once
        the new secret was used, the oldest ends at once: there are never more than two. A key that
        rotates itself cannot send it again: a secret that is being rotated out does not rotate.
        """
        body = self.body(serializers.RotationRequest, optional=True)
        overlap = timedelta(seconds=body["overlap_seconds"])
        plaintext = rotate(self._find(key_id), actor=caller_of(request).actor, overlap=overlap)
        return Response(answers.ApiKeyWithSecret(self._show(key_id), plaintext=plaintext).data)

    @endpoint(
        "finish_rotation",
        "Finish a rotation",
        answers.Key,
        takes=documentation.NO_LIMITS,
        guide="rotation",
        request={"application/json": documentation.NO_FIELDS},
        errors=documentation.OF_A_CHANGE,
        sent={"No fields": {}},
    )
    def finish_rotation(self, request: Request, key_id: str) -> Response:
        """End the old secret now. If no rotation is open, nothing changes."""
        self.body(serializers.NoBody, optional=True)
        finish_rotation(self._find(key_id), actor=caller_of(request).actor)
        return Response(answers.Key(self._show(key_id)).data)

    def _find(self, key_id: str) -> ApiKey:
        """Return a key that exists for the caller. Raise ResourceNotFound for any other id."""
        return find_key(keys_of(caller_of(self.request)), key_id)

    def _show(self, key_id: str) -> Any:
        """Return the same key as `presentable`. Raise ResourceNotFound for any other id."""
        return find_key(presentable(keys_of(caller_of(self.request))), key_id)
