"""Audit events as customers see them: of staff, commands and the service itself the type alone."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from apikeys.api.answers import Answer, IdField
from apikeys.networks import respelled
from audit.actor import ActorType
from audit.models import AuditEvent
from web.input.fields import Constant, MomentField
from web.output.openapi import KnownValues

# What customers find in their events.
ACTIONS: Final = (
    *("api_key.issued", "api_key.changed", "api_key.rotated", "api_key.rotation_finished"),
    *("api_key.secret_replaced", "api_key.secrets_ended", "api_key.revoked"),
    *("organization.created", "organization.renamed", "organization.plan_changed"),
    *("organization.contact_changed", "organization.suspended", "organization.resumed"),
)


class Text(serializers.CharField):
    """A text; null if it is empty."""

    def to_representation(self, value: str) -> Any:
        return value or None


class AuditEventActor(Answer):
    """Who did it. Of members of staff, commands and the service itself, the type alone."""

    # Events of an organization name no stranger: those are the service's own.
    type = KnownValues(
        [kind for kind in ActorType.values if kind != ActorType.STRANGER], source="actor_type"
    )
    id = serializers.CharField(required=False, source="actor_id")
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, source="actor_label", help_text="What the key was called then."
    )

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        is_key = instance.actor_type == ActorType.KEY
        return super().to_representation(instance) if is_key else {"type": instance.actor_type}


class AuditEventTarget(Answer):
    """What it was done to."""

    type = KnownValues(["api_key", "organization"], source="target_type")
    id = serializers.CharField(source="target_id")


@extend_schema_serializer(component_name="AuditEvent")
class Event(Answer):
    """One entry of the audit log."""

    id = IdField("evt")
    object = Constant("event")
    action = KnownValues(ACTIONS)
    actor = AuditEventActor(source="*")
    target = AuditEventTarget(source="*")
    reason = Text(allow_null=True)
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2), help_text="field: [before, after]"
    )
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = Text(allow_null=True)
    request_id = Text(allow_null=True)
    created_at = MomentField()

    def to_representation(self, instance: AuditEvent) -> dict[str, Any]:
        """Leave out reason, address and user agent unless a key of the customer's did it."""
        answer = super().to_representation(instance)
        answer["changes"] = {
            name: [respelled(value) for value in pair] for name, pair in answer["changes"].items()
        }
        if instance.actor_type != ActorType.KEY:
            answer |= dict.fromkeys(("reason", "ip", "user_agent"))
        return answer


class AuditEventList(Answer):
    """A page of events, newest first."""

    object = Constant("list")
    data = Event(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()
