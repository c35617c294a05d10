"""`GET` and `PATCH /v1/organization`: who is told of leaks, and what is done with a leaked key."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import OnLeak, Organization
from apikeys.api.answers import Answer, IdField
from apikeys.api.documentation import ACCEPT_PATCH, endpoint
from apikeys.authentication.caller import caller_of
from apikeys.permissions import ManagesKeys
from notices.contacts import LONGEST, MOST, change_by_key, clean_emails, list_of
from web.input.body import JSON_TYPES
from web.input.fields import Constant, StrictField, StrictSerializer
from web.input.parameters import ChoiceParameter
from web.output.openapi import KnownValues
from web.output.views import ApiView

# What the OpenAPI document says of the field; the rules themselves are the verb's.
CONTACT: Final = {
    "type": "object",
    "required": ["email"],
    "properties": {
        "email": {"type": "string", "format": "email", "maxLength": LONGEST},
        "verified": {"type": "boolean"},
    },
    "additionalProperties": False,
}
CONTACTS: Final = {"type": "array", "items": CONTACT, "minItems": 1, "maxItems": MOST}


class ContactAnswer(Answer):
    """An address. It is told of leaks and ends once its owner has agreed."""

    email = serializers.CharField()
    verified = serializers.BooleanField(help_text="Its owner agreed.")


class OrganizationAnswer(Answer):
    """Your organization."""

    id = IdField("org")
    object = Constant("organization")
    name = serializers.CharField()
    plan = serializers.CharField(source="plan_id")
    contacts = ContactAnswer(many=True)
    on_leak = KnownValues(
        {
            OnLeak.REVOKE.value: "a key that leaks is revoked at once",
            OnLeak.NOTIFY.value: "the contacts are told and nothing else is done, as long as one "
            "of them is verified",
        }
    )


class ContactsField(StrictField):
    """A JSON array of objects with an `email`. `verified` may be sent back, and is not read."""

    wants = 'an array of objects such as {"email": "ops@example.com"}'

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list) or not all(map(_is_contact, data)):
            self.refuse()
        return clean_emails(contact["email"] for contact in data)


def _is_contact(data: Any) -> bool:
    if not isinstance(data, dict) or not data.keys() <= {"email", "verified"}:
        return False
    return isinstance(data.get("email"), str) and isinstance(data.get("verified", False), bool)


class OrganizationUpdate(StrictSerializer):
    """The body of `PATCH /v1/organization`: what is left out stays as it is."""

    contacts = ContactsField(
        schema=CONTACTS,
        required=False,
        help_text="The whole list: verified addresses must be in it. `verified` is not read.",
    )
    on_leak = ChoiceParameter(
        list(OnLeak.values), required=False, help_text="Our staff alone set `notify`."
    )


class OrganizationView(ApiView):
    """The organization of the calling key."""

    permission_classes = [ManagesKeys]

    @endpoint(
        "get_organization",
        "Show your organization",
        OrganizationAnswer,
        tag="Organization",
        errors=("insufficient_scope",),
    )
    def get(self, request: Request) -> Response:
        """Show who is told of leaks and ends, and what is done with a key that leaks. Takes an
        unrestricted key, live or test.
        """
        organization = Organization.objects.get(pk=caller_of(request).organization_id)
        contacts = [{"email": e, "verified": v} for e, v in list_of(organization.pk).items()]
        return Response(OrganizationAnswer({**vars(organization), "contacts": contacts}).data)

    @endpoint(
        "change_organization",
        "Change contacts and leak policy",
        OrganizationAnswer,
        ACCEPT_PATCH,
        tag="Organization",
        request=dict.fromkeys(JSON_TYPES, OrganizationUpdate),
        errors=(
            "insufficient_scope",
            "mode_not_allowed",
            "exceeds_caller",
            "staff_only",
            "unsupported_media_type",
        ),
        sent={
            "One more contact": {
                "contacts": [{"email": "security@example.com"}, {"email": "ops@example.com"}]
            },
            "Revoke leaked keys": {"on_leak": "revoke"},
        },
    )
    def patch(self, request: Request) -> Response:
        """Add contacts, and tighten `on_leak` to `revoke`. What is left out stays. A new address is
        sent a link, and is told of nothing before its owner has opened it and pressed the button,
        within 7 days. A key cannot take a verified address away: our staff do. Takes an
        unrestricted live key without limits of its own.
        """
        caller, fields = caller_of(request), self.body(OrganizationUpdate)
        organization = Organization.objects.get(pk=caller.organization_id)
        change_by_key(organization, actor=caller.actor, **fields)
        return self.get(request)
