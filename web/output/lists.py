"""Lists, a page at a time: keyset pages, so that the thousandth costs what the first does."""

from collections.abc import Sequence
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from rest_framework.serializers import Serializer

from web.errors.refusals import ParameterInvalid

Row = TypeVar("Row", bound=Model)


def list_page(
    rows: QuerySet[Row],
    *,
    cursors: QuerySet[Row],
    keyset: Sequence[str],
    query: dict[str, Any],
    serializer: type[Serializer[Any]],
) -> dict[str, object]:
    """Answer with the contract's list object: a page of `rows`, newest first.

    `query` is what `ListQuery` read. `keyset` names the columns that order the list, descending; an
    index must begin with what is filtered for and end with them. A cursor may be any of `cursors`,
    the list without its filters, so that it stays valid after its object has left the filter.

    Raises ParameterInvalid for a cursor that is none of them.
    """
    limit = query["limit"]
    backwards = "ending_before" in query
    for name in ("starting_after", "ending_before"):
        if name in query:
            cursor = cursors.filter(pk=query[name]).values_list(*keyset).first()
            if cursor is None:
                message = f"{name} is the id of no object in this list."
                raise ParameterInvalid(message, field=name)
            rows = rows.filter(_beyond(keyset, cursor, "gt" if backwards else "lt"))
    sign = "" if backwards else "-"
    found = list(rows.order_by(*(f"{sign}{column}" for column in keyset))[: limit + 1])
    page = found[:limit]
    if backwards:
        page.reverse()
    return {
        "object": "list",
        "data": serializer(page, many=True).data,
        "has_more": len(found) > limit,
    }


def _beyond(keyset: Sequence[str], cursor: Sequence[Any], operator: str) -> Q:
    """Return (a, b) < (x, y) as a <= x AND (a < x OR (a = x AND b < y)): the index finds a <= x."""
    column, *columns = keyset
    value, *values = cursor
    strictly = Q(**{f"{column}__{operator}": value})
    if not columns:
        return strictly
    same = Q(**{column: value}) & _beyond(columns, values, operator)
    return Q(**{f"{column}__{operator}e": value}) & (strictly | same)
