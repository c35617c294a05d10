"""Audit events as customers see them: of other actors than their keys the type alone.

`GET /v1/events` lists those of an organization, `GET /v1/keys/{key_id}/events` those of a key.
"""

from functools import partial
from typing import Any, Final

from django.db import models
from django.db.models.expressions import RawSQL
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.api.answers import Answer, IdField
from apikeys.api.documentation import endpoint
from apikeys.api.querysets import find_key, keys_of
from apikeys.api.serializers import EventListQuery, KeyEventListQuery
from apikeys.authentication.caller import caller_of
from apikeys.networks import respelled
from apikeys.permissions import ManagesKeys
from audit.actor import ActorType
from audit.models import OF_MODE, AuditEvent
from web.input.fields import Constant, MomentField
from web.input.parameters import ListQuery
from web.output.lists import list_page
from web.output.openapi import KnownValues
from web.output.views import ApiView

# What customers find in their events.
ACTIONS: Final = (
    *("api_key.issued", "api_key.changed", "api_key.rotated", "api_key.rotation_finished"),
    *("api_key.secret_replaced", "api_key.secrets_ended", "api_key.revoked"),
    "api_key.leaked",
    *("organization.created", "organization.renamed", "organization.plan_changed"),
    *("organization.contacts_changed", "organization.leak_policy_changed"),
    *("organization.contact_changed", "organization.suspended", "organization.resumed"),
)
# An export of the log by staff, for one, is not shown: its filters are words of theirs.
SHOWN_TARGETS: Final = ("api_key", "organization")
# PostgreSQL uses a partial index only for a condition without parameters.
NOT_BY_KEY_IN_SQL: Final = RawSQL("actor_type <> 'key'", (), models.BooleanField())


class AuditEventActor(Answer):
    """Who did it. Of all but your keys (staff, a scanner that reported a leak), the type alone."""

    type = KnownValues(ActorType.values, source="actor_type")
    id = serializers.CharField(required=False, source="actor_id")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, source="actor_label", help_text="What the key was called then."
    )

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        is_key = instance.actor_type == ActorType.KEY
        return super().to_representation(instance) if is_key else {"type": instance.actor_type}


class AuditEventTarget(Answer):
    """What it was done to."""

    type = KnownValues(SHOWN_TARGETS, source="target_type")
    id = serializers.CharField(source="target_id")


@extend_schema_serializer(component_name="AuditEvent")
class Event(Answer):
    """One entry of the audit log."""

    id = IdField("evt")
    object = Constant("event")
    action = KnownValues(ACTIONS)
    actor = AuditEventActor(source="*")
    target = AuditEventTarget(source="*")
    reason = serializers.CharField(allow_null=True)
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2), help_text="field: [before, after]"
    )
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    created_at = MomentField()

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        """Leave out reason, address and user agent unless a key of the customer's did it.

        What is empty is null.
        """
        answer = super().to_representation(instance)
        answer["changes"] = {
            name: [respelled(value) for value in pair] for name, pair in answer["changes"].items()
        }
        if instance.actor_type != ActorType.KEY:
            answer |= dict.fromkeys(("reason", "ip", "user_agent"))
        return {name: None if value == "" else value for name, value in answer.items()}


class AuditEventList(Answer):
    """A page of events, newest first."""

    object = Constant("list")
    data = Event(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


page_of: Final = partial(
    list_page, keyset=("created_at", "sequence"), serializer=Event, nulls_last=True
)


class EventsView(ApiView):
    permission_classes = [ManagesKeys]
    queries = {"get": EventListQuery}

    @endpoint(
        "list_events",
        "List events",
        AuditEventList,
        EventListQuery,
        tag="Events",
        guide="pagination",
        errors=("insufficient_scope",),
    )
    def get(self, request: Request) -> Response:
        """List what was done to your organization and its keys of the calling key's mode, newest
        first: by whom, from where, and what changed. Of what our staff did, only what it was. What
        concerns both modes, such as the plan, is shown to live keys. Takes an unrestricted key.
        """
        caller = caller_of(request)
        log = AuditEvent.objects.filter(
            OF_MODE[caller.livemode],
            organization_id=caller.organization_id,
            target_type__in=SHOWN_TARGETS,
        )
        wanted = {n: value for n, value in self.query.items() if n not in ListQuery().fields}
        found = log.filter(**wanted)
        if wanted.get("actor_id") in ActorType:
            wanted["actor_type"] = wanted.pop("actor_id")
            found = log.filter(NOT_BY_KEY_IN_SQL, **wanted)
        ids = {wanted[name] for name in ("actor_id", "target_id") if name in wanted}
        if ids and keys_of(caller).filter(pk__in=ids).count() < len(ids):
            found = log.none()  # No index of an id knows the mode, so this would read them all.
        return Response(page_of(found, cursors=log, query=self.query))


class KeyEventsView(ApiView):
    permission_classes = [ManagesKeys]
    queries = {"get": KeyEventListQuery}

    @endpoint(
        "list_key_events",
        "List an API key's events",
        AuditEventList,
        KeyEventListQuery,
        tag="Events",
        guide="pagination",
    )
    def get(self, request: Request, key_id: str) -> Response:
        """List what was done to the key, by whom and from where, or with `role=actor` what it did
        to keys, itself included; newest first. Of what our staff did, only what it was. Takes an
        unrestricted key.
        """
        api_key = find_key(keys_of(caller_of(request)), key_id)
        of_key = {f"{self.query['role']}_id": api_key.pk}
        log = AuditEvent.objects.filter(organization_id=api_key.organization_id, **of_key)
        return Response(page_of(log, cursors=log, query=self.query))
