"""Serializer fields that accept exactly the JSON type of the contract, without conversion.

Other rules (lengths, ranges, authority) belong to the verbs, which the admin and the commands call
as well.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Never

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from web.errors.refusals import Faults, OfCatalogue, ParameterInvalid, ParameterUnknown
from web.input.moments import format_moment, parse_moment
from web.input.text import did_you_mean
from web.redaction import quote_input


def refuse_unknown(name: str, known: Mapping[str, object], *, noun: str) -> None:
    """Raise ParameterUnknown, with the closest known name, if `name` is not in `known`."""
    if name not in known:
        shown = quote_input(name)
        hint = did_you_mean(name, known)
        raise ParameterUnknown(f"There is no {noun} {shown}.{hint}", field=shown[1:-1])


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields: `{"scope": […]}` must not mean every scope.

    All faults are raised at once: unknown fields, missing ones, then wrong values.
    """

    noun = "field"

    def to_internal_value(self, data: Any) -> Any:
        """Return values by the fields' sources. Raise the first Refusal, the others beside it."""
        faults, values = Faults(), {}
        for name in data:
            with faults.noted():
                self.check_name(name, data)
        missing = [n for n, field in self.fields.items() if field.required and n not in data]
        for name in missing:
            message = f"The field {name} is missing."
            faults.append(OfCatalogue("missing_required_field", message, field=name))
        for name, field in self.fields.items():
            if name not in missing:
                with faults.noted(), suppress(serializers.SkipField):
                    value = field.run_validation(data.get(name, serializers.empty))
                    check = getattr(self, f"validate_{name}", None)
                    values[str(field.source)] = check(value) if check else value
        if faults:
            with faults.noted():
                self.check_rest(values)
        faults.refuse()
        return values

    def check_name(self, name: str, data: Any) -> None:
        """Raise ParameterUnknown for a field that the serializer lacks."""
        refuse_unknown(name, self.fields, noun=self.noun)

    def check_rest(self, values: dict[str, Any]) -> None:
        """Raise what else is wrong with the valid fields, once it is clear that others are not.

        By default what `validate` raises. A subclass adds what only the verb checks otherwise.
        """
        self.validate(values)


class StrictField(serializers.Field[Any, Any, Any, Any]):
    """A field that gets the raw JSON value; `null` is refused unless `allow_null`.

    `schema` is its own in the OpenAPI document.
    """

    wants: str  # Completes the sentence "The field must be …" of its refusals.

    def __init__(self, *, schema: Mapping[str, object] | None = None, **options: Any) -> None:
        super().__init__(**options)
        if schema:
            extend_schema_field(dict(schema))(self)  # type: ignore[type-var]

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Refuse null with the field's own message instead of DRF's."""
        if data is None and not self.allow_null:
            self.refuse()
        return super().validate_empty_values(data)

    def to_representation(self, value: Any) -> Any:
        return value

    def refuse(self, hint: str = "") -> Never:
        """Raise ParameterInvalid that says what the field wants."""
        message = f"{self.field_name} must be {self.wants}.{hint}"
        raise ParameterInvalid(message, field=self.field_name or "")


@extend_schema_field(OpenApiTypes.STR)
class StringField(StrictField):
    """A JSON string; a number is not converted."""

    wants = "a string"

    def to_internal_value(self, data: Any) -> str:
        return data if isinstance(data, str) else self.refuse()


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(StrictField):
    """A date-time in RFC 3339 with an offset; shown in UTC."""

    wants = "a date and time with an offset, such as 2030-01-31T12:00:00Z, in a string"

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str):
            self.refuse()
        return parse_moment(data, field=self.field_name or "")

    def to_representation(self, value: datetime) -> str:
        return format_moment(value)


class IntegerField(StrictField):
    """A JSON integer from `least` to `most`; neither `5.0` nor `true` is one."""

    noun = "an integer"

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        schema = {"type": "integer", "minimum": least, "maximum": most}
        super().__init__(schema=schema, **options)
        self.least, self.most = least, most
        self.wants = f"{self.noun} from {least} to {most}"

    def to_internal_value(self, data: Any) -> int:
        is_integer = isinstance(data, int) and not isinstance(data, bool)
        return int(data) if is_integer and self.least <= data <= self.most else self.refuse()


class StringListField(StrictField):
    """A JSON array of strings."""

    wants = "an array of strings"

    def to_internal_value(self, data: Any) -> list[str]:
        is_fit = isinstance(data, list) and all(isinstance(item, str) for item in data)
        return list(data) if is_fit else self.refuse()


class Constant(serializers.ChoiceField):
    """A response field that always has the same value, such as `object`."""

    def __init__(self, value: str, **options: Any) -> None:
        self.value = value
        super().__init__([value], **options)
        extend_schema_field({"type": "string", "enum": [value]})(self)  # type: ignore[type-var]

    def get_attribute(self, instance: object) -> str:
        return self.value
