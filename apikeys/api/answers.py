"""Keys as the endpoints answer with them: serializers that build the answers and describe them."""

from datetime import date
from functools import partial
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apikeys.api.serializers import NETWORKS, SCOPES
from apikeys.models import ApiKey, KeyStatus
from apikeys.scopes import Scope
from audit.actor import ActorType
from web.input.fields import Constant, MomentField, StringListField
from web.output.openapi import KnownValues

Answer = serializers.Serializer[Any]
Count: Final = partial(serializers.IntegerField, min_value=0)
Limit: Final = partial(serializers.IntegerField, min_value=0, allow_null=True)


class IdField(serializers.RegexField):
    """An object's id, such as `key_3iS8wW2xYbC4`."""

    def __init__(self, prefix: str) -> None:
        super().__init__(rf"^{prefix}_[0-9A-Za-z]{{12,}}$")


class ScopeList(serializers.ListField):
    """Some of the scopes."""

    child = KnownValues({scope.value: scope.label.lower() for scope in Scope}, component="Scope")


class Computed(serializers.SerializerMethodField):
    """What `get_<name>` returns; described like the other fields, of which none is read-only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.read_only, self.required = False, True


def just_issued(api_key: Any) -> Any:
    """Return a key that was just issued as `presentable` would, in no query: all of it is known."""
    api_key.last_used_at, api_key.all_grants = None, []
    api_key.unended_secrets = [api_key.issued_secret]
    return api_key


class ApiKeySecret(Answer):
    """A secret that was not ended, by its public parts; it works as long as its key is active."""

    locator = serializers.CharField(help_text="The eight characters after `rk_live_`.")
    key_hint = serializers.CharField()
    created_at = MomentField()
    last_used_at = MomentField(allow_null=True, help_text="To the minute.")
    expires_at = MomentField(
        source="ends_at",
        allow_null=True,
        help_text="When it is rotated out; null: as long as the key.",
    )


@extend_schema_serializer(component_name="ApiKey")
class Key(Answer):
    """An API key."""

    # Of a key from `presentable` or `just_issued`.
    id = IdField("key")
    object = Constant("api_key")
    name = serializers.CharField()
    key_hint = Computed(help_text="`...` and the newest secret's last four characters.")
    scopes = StringListField(schema=SCOPES)
    created_at = MomentField()
    expires_at = MomentField(allow_null=True)
    livemode = serializers.BooleanField(help_text="False: a test key of the sandbox.")
    status = KnownValues(KeyStatus.values)
    last_used_at = MomentField(
        allow_null=True, help_text="The latest use of any of its secrets, to the minute."
    )
    revoked_at = MomentField(allow_null=True)
    revoked_reason = Computed(help_text="As it was given over this API.")
    created_by = Computed(help_text="`key:key_…`, `staff`, `cli` or `system`.")
    allowed_ips = StringListField(schema=NETWORKS, allow_null=True, help_text="Null: any address.")
    secrets = Computed(help_text="One, or two while the key is being rotated.")
    max_tests_per_month = Limit(help_text="Its own share of the plan; null: all of it.")
    scope_usage = Computed(
        help_text="For each scope the last day, in UTC, on which it was exercised; null: never."
    )
    unused_scopes = Computed(
        help_text="Granted 30 or more days ago and never exercised since: take them away."
    )

    def get_key_hint(self, api_key: Any) -> str:
        return f"...{api_key.last_four}"

    def get_revoked_reason(self, api_key: ApiKey) -> str | None:
        return (api_key.revoked_reason or None) if _is_key(api_key.revoked_by) else None

    def get_created_by(self, api_key: ApiKey) -> str:
        """Return `key:key_…`, or the bare type of any other actor: staff has no name here."""
        by = api_key.created_by
        return by if _is_key(by) else by.partition(":")[0]

    @extend_schema_field(ApiKeySecret(many=True))
    def get_secrets(self, api_key: Any) -> Any:
        live = [secret for secret in api_key.unended_secrets if secret.is_live]
        return ApiKeySecret(live, many=True).data

    @extend_schema_field(serializers.DictField(child=serializers.DateField(allow_null=True)))
    def get_scope_usage(self, api_key: Any) -> dict[str, date | None]:
        last_days = {grant.scope: grant.last_exercised_on for grant in api_key.all_grants}
        return {scope: last_days.get(scope) for scope in api_key.scopes}

    @extend_schema_field(ScopeList())
    def get_unused_scopes(self, api_key: Any) -> list[str]:
        unused = {grant.scope for grant in api_key.all_grants if grant.is_long_unused}
        return [scope for scope in api_key.scopes if scope in unused]


def _is_key(actor: str) -> bool:
    """Return True if an actor, as `Actor.__str__` names it, is a key of the customer's."""
    return actor.startswith(f"{ActorType.KEY}:")


@extend_schema_serializer(component_name="ApiKeyWithSecret")
class ApiKeyWithSecret(Key):
    """An API key and the plaintext of its newest secret: the only answers that ever hold it."""

    key = Computed(help_text="The whole key. Shown here, once, and never again.")

    def __init__(self, api_key: Any = None, *, plaintext: str = "", **options: Any) -> None:
        super().__init__(api_key, **options)
        self._plaintext = plaintext

    def get_fields(self) -> dict[str, Any]:
        """Put `key` where the contract has it, after the name."""
        fields = super().get_fields()
        first = {name: fields[name] for name in ("id", "object", "name", "key")}
        return {**first, **fields}

    def get_key(self, api_key: ApiKey) -> str:
        return self._plaintext

    def get_key_hint(self, api_key: Any) -> str:
        """Return the plaintext's: another rotation may have come before the row was read."""
        return f"...{self._plaintext[-4:]}"


class CascadeCounts(Answer):
    """What a cascade did, besides revoking the key itself."""

    keys_revoked = Count()
    secrets_ended = Count()


@extend_schema_serializer(component_name="RevokedApiKey")
class RevokedApiKey(Key):
    """An API key that was revoked."""

    cascade = CascadeCounts(required=False, help_text="Only if it was asked for.")


@extend_schema_serializer(many=False)  # Itself the list, though the view is called `list`.
class ApiKeyList(Answer):
    """A page of keys, newest first."""

    object = Constant("list")
    data = Key(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()


class DayOfUse(Answer):
    """A day, in UTC."""

    date = serializers.DateField(source="day")
    requests = Count()
    limited = Count(help_text="Of these, over the rate limit.")


class ApiKeyUsage(Answer):
    """A key's requests by day, the oldest first; days without any are zero."""

    object = Constant("key_usage")
    key_id = IdField("key")
    days = DayOfUse(many=True)
    livemode = serializers.BooleanField()
