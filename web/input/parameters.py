"""Serializers and fields of query parameters, as strict as those of bodies."""

import re
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

from rest_framework.request import Request

from web.errors.refusals import ParameterInvalid
from web.input.fields import IntegerField, StrictSerializer, StringField
from web.input.text import did_you_mean
from web.redaction import quote_input

_NUMBER: Final = re.compile("[0-9]{1,9}")
_FLAGS: Final = {"True": "true", "False": "false", "1": "true", "0": "false"}
ID_SHAPE: Final = re.compile(r"[a-z]{2,8}_[0-9A-Za-z]{12,34}")


class QuerySerializer(StrictSerializer):
    """The query parameters of one endpoint, here none. Unknown and repeated ones are refused."""

    noun = "parameter"

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """Return the parameters of the request, and the defaults of those that are missing."""
        refuse_other_than_utf_8(request.META.get("QUERY_STRING", ""))
        fields: dict[str, Any] = cls().run_validation(request.query_params)
        return fields

    def check_name(self, name: str, data: Any) -> None:
        """Raise ParameterUnknown or, for a parameter given more than once, ParameterInvalid."""
        super().check_name(name, data)
        if len(data.getlist(name)) > 1:
            raise ParameterInvalid(f"{name} must be given once.", field=name)


def refuse_other_than_utf_8(query: str) -> None:
    """Raise ParameterInvalid if a raw query, in Latin-1 as WSGI passes it, is not UTF-8."""
    # Django replaces such bytes by U+FFFD, and a reason would be stored with that.
    for pair in query.split("&"):
        try:
            unquote_to_bytes(pair.encode("latin-1")).decode()
        except UnicodeDecodeError:
            field = quote_input(unquote(pair.partition("=")[0]))[1:-1]
            raise ParameterInvalid("The query must be in UTF-8.", field=field) from None


class WholeNumberParameter(IntegerField):
    """An integer from `least` to `most`, in decimal digits."""

    noun = "a number"

    def to_internal_value(self, data: Any) -> int:
        return super().to_internal_value(int(data) if _NUMBER.fullmatch(data) else None)


class ChoiceParameter(StringField):
    """One of a few words."""

    def __init__(self, choices: list[str], **options: Any) -> None:
        super().__init__(**{"schema": {"type": "string", "enum": choices}, **options})
        self.choices = choices
        self.wants = "one of " + ", ".join(choices)

    def to_internal_value(self, data: Any) -> str:
        if data not in self.choices:
            self.refuse(did_you_mean(str(data), self.choices))
        return str(data)


class FlagParameter(ChoiceParameter):
    """`true` or `false`, also as Python writes them, or `1` or `0`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(["true", "false"], schema={"type": "boolean"}, **options)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(_FLAGS.get(data, data)) == "true"


class IdParameter(StringField):
    """An object's id, or a text of another shape; only the shape is checked."""

    def __init__(
        self, shape: re.Pattern[str] = ID_SHAPE, wants: str = "an object's id", **options: Any
    ) -> None:
        schema = {"type": "string", "pattern": f"^(?:{shape.pattern})$"}
        super().__init__(schema=schema, **options)
        self.shape, self.wants = shape, wants

    def to_internal_value(self, data: Any) -> str:
        return str(data) if self.shape.fullmatch(data) else self.refuse()


class ListQuery(QuerySerializer):
    """The parameters of every list: keyset pagination by the id of an object."""

    limit = WholeNumberParameter(
        least=1, most=100, default=20, help_text="The largest number of objects to return."
    )
    starting_after = IdParameter(
        required=False, help_text="The id of the last item seen: returns those that follow it."
    )
    ending_before = IdParameter(
        required=False, help_text="The id of the first item seen: returns those that precede it."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raise ParameterInvalid if both cursors are given."""
        if "starting_after" in attrs and "ending_before" in attrs:
            message = "ending_before cannot be given together with starting_after."
            raise ParameterInvalid(message, field="ending_before")
        return attrs
