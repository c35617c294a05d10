from typing import Any

from rest_framework import serializers

from web.input.fields import Constant, MomentField, StrictSerializer, StringField
from web.input.text import clean_line


class TestRequest(StrictSerializer):
    """The body of `POST /v1/tests`."""

    subject = StringField(help_text="Of the mail, 1 to 200 characters.")

    def validate_subject(self, value: str) -> str:
        return clean_line(value, field="subject", max_length=200)


class DomainRequest(StrictSerializer):
    """The body of `POST /v1/domains`."""

    name = StringField(help_text="Such as `example.com`.")

    def validate_name(self, value: str) -> str:
        return clean_line(value, field="name", max_length=253).lower()


class Test(serializers.Serializer[Any]):
    """A test; the sandbox's are completed at once."""

    id = serializers.CharField()
    object = Constant("test")
    subject = serializers.CharField()
    status = serializers.ChoiceField(["running", "completed"])
    score = serializers.IntegerField(allow_null=True)
    created_at = MomentField()
    livemode = serializers.BooleanField()


class TestList(serializers.Serializer[Any]):
    """A page of tests, newest first."""

    object = Constant("list")
    data = Test(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class Domain(serializers.Serializer[Any]):
    """A domain; the sandbox's are verified at once."""

    id = serializers.CharField()
    object = Constant("domain")
    name = serializers.CharField()
    is_verified = serializers.BooleanField()
    created_at = MomentField()
    livemode = serializers.BooleanField()
