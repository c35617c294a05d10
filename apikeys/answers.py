"""What the OpenAPI document says the endpoints answer with.

Answers are built by `apikeys.presenters`; these classes only describe them, and the tests hold the
two together.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.models.audit import ActorType
from apikeys.models import KeyStatus
from apikeys.scopes import ALL_SCOPES
from apikeys.serializers import NetworksField, ScopesField


class Secret(serializers.Serializer[Any]):
    """A secret that was not ended, by its public parts; it works as long as its key is active."""

    locator = serializers.CharField(help_text="The eight characters after `rk_live_`.")
    key_hint = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When it is rotated out; null: as long as the key."
    )


class Key(serializers.Serializer[Any]):
    """An API key."""

    id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    object = serializers.ChoiceField(["api_key"])
    name = serializers.CharField()
    key_hint = serializers.CharField(
        help_text="`...` and the newest secret's last four characters."
    )
    scopes = ScopesField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    livemode = serializers.BooleanField(help_text="False: a test key of the sandbox.")
    status = serializers.ChoiceField(list(KeyStatus.values))
    last_used_at = serializers.DateTimeField(
        allow_null=True, help_text="The latest use of any of its secrets, to the minute."
    )
    revoked_at = serializers.DateTimeField(allow_null=True)
    revoked_reason = serializers.CharField(
        allow_null=True, help_text="As it was given over this API."
    )
    created_by = serializers.CharField(help_text="`key:key_…`, `staff`, `cli` or `system`.")
    allowed_ips = NetworksField(allow_null=True, help_text="Null: any address.")
    secrets = Secret(many=True, help_text="One, or two while the key is being rotated.")
    max_tests_per_month = serializers.IntegerField(
        min_value=0, allow_null=True, help_text="Its own share of the plan; null: all of it."
    )
    scope_usage = serializers.DictField(
        child=serializers.DateField(allow_null=True),
        help_text="For each scope the last day, in UTC, on which it was exercised; null: never.",
    )
    unused_scopes = serializers.ListField(
        child=serializers.ChoiceField(list(ALL_SCOPES)),
        help_text="Granted 30 or more days ago and never exercised since: take them away.",
    )


class IssuedKey(Key):
    """An API key and the plaintext of its newest secret: the only answers that ever hold it."""

    key = serializers.CharField(help_text="The whole key. Shown here, once, and never again.")


class CascadeCounts(serializers.Serializer[Any]):
    """What a cascade did, besides revoking the key itself."""

    keys_revoked = serializers.IntegerField(min_value=0)
    secrets_ended = serializers.IntegerField(min_value=0)


class RevokedKey(Key):
    """An API key that was revoked."""

    cascade = CascadeCounts(required=False, help_text="Only where it was asked for.")


@extend_schema_serializer(many=False)  # Itself the list, where a view is called `list`.
class KeyList(serializers.Serializer[Any]):
    """A page of keys, newest first."""

    object = serializers.ChoiceField(["list"])
    data = Key(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class EventActor(serializers.Serializer[Any]):
    """Who did it. Of members of staff, commands and the service itself, the type alone."""

    # Events of an organization name no stranger: those are the service's own.
    type = serializers.ChoiceField([c for c in ActorType.choices if c[0] != ActorType.STRANGER])
    id = serializers.CharField(required=False)
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="What the key was called then."
    )


class EventTarget(serializers.Serializer[Any]):
    """What it was done to."""

    type = serializers.CharField()
    id = serializers.CharField()


class Event(serializers.Serializer[Any]):
    """One entry of the audit log."""

    id = serializers.RegexField(r"^evt_[0-9A-Za-z]{12,}$")
    object = serializers.ChoiceField(["event"])
    action = serializers.CharField(help_text="Such as `api_key.rotated`.")
    actor = EventActor()
    target = EventTarget()
    reason = serializers.CharField(allow_null=True)
    changes = serializers.DictField(
        child=serializers.ListField(min_length=2, max_length=2), help_text="field: [before, after]"
    )
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class EventList(serializers.Serializer[Any]):
    """A page of events, newest first."""

    object = serializers.ChoiceField(["list"])
    data = Event(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class DayOfUse(serializers.Serializer[Any]):
    """A day, in UTC."""

    date = serializers.DateField()
    requests = serializers.IntegerField(min_value=0)
    limited = serializers.IntegerField(min_value=0, help_text="Of these, over the rate limit.")


class KeyUsage(serializers.Serializer[Any]):
    """A key's requests by day, the oldest first; days without any are zero."""

    object = serializers.ChoiceField(["key_usage"])
    key_id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    days = DayOfUse(many=True)
    livemode = serializers.BooleanField()


class TestsUsed(serializers.Serializer[Any]):
    """Tests; `overage` is what is used beyond a limit that was lowered."""

    used = serializers.IntegerField(min_value=0)
    limit = serializers.IntegerField(min_value=0, allow_null=True)
    overage = serializers.IntegerField(min_value=0)
    resets_at = serializers.DateTimeField(
        allow_null=True, help_text="When `used` begins anew. Null: never, as on the free plan."
    )


class DomainsUsed(serializers.Serializer[Any]):
    """Domains that stand now."""

    used = serializers.IntegerField(min_value=0)
    limit = serializers.IntegerField(min_value=0, allow_null=True)


class ApiCalls(serializers.Serializer[Any]):
    """Requests of all the organization's keys of this mode."""

    total = serializers.IntegerField(min_value=0)
    rate_limited = serializers.IntegerField(min_value=0)


class Usage(serializers.Serializer[Any]):
    """An organization's use in one mode, in the current calendar month in UTC."""

    object = serializers.ChoiceField(["usage"])
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    tests = TestsUsed()
    domains = DomainsUsed()
    api_calls = ApiCalls()
    livemode = serializers.BooleanField()


class CallerOrganization(serializers.Serializer[Any]):
    """The organization a key belongs to."""

    id = serializers.RegexField(r"^org_[0-9A-Za-z]{12,}$")
    name = serializers.CharField()
    plan = serializers.CharField()


class CallerUsage(serializers.Serializer[Any]):
    """What the organization used in the key's mode; a limit of null is no limit."""

    tests_this_month = serializers.IntegerField(
        min_value=0, help_text="In this calendar month, UTC; on the free plan, ever."
    )
    tests_limit = serializers.IntegerField(min_value=0, allow_null=True)
    domains = serializers.IntegerField(min_value=0)
    domains_limit = serializers.IntegerField(min_value=0, allow_null=True)


class AuthContext(serializers.Serializer[Any]):
    """Who is calling and what it may do."""

    key_id = serializers.RegexField(r"^key_[0-9A-Za-z]{12,}$")
    key_name = serializers.CharField()
    scopes = ScopesField()
    organization = CallerOrganization()
    usage = CallerUsage()
    livemode = serializers.BooleanField()
    allowed = serializers.BooleanField(
        required=False, help_text="Where `require` is given: whether the key holds all of it."
    )
    missing = serializers.ListField(
        child=serializers.ChoiceField(list(ALL_SCOPES)),
        required=False,
        help_text="Where `require` is given: what of it the key lacks.",
    )
