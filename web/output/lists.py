"""Keyset pagination of lists: the thousandth page costs as much as the first."""

from collections.abc import Sequence
from typing import Any

from django.db.models import F, Q, QuerySet
from rest_framework.serializers import Serializer

from web.errors.refusals import ParameterInvalid


def list_page(
    rows: QuerySet[Any],
    *,
    cursors: QuerySet[Any],
    keyset: Sequence[str],
    query: dict[str, Any],
    serializer: type[Serializer[Any]],
    nulls_last: bool = False,
) -> dict[str, object]:
    """Return the contract's list object with one page of `rows`, newest first.

    `query` comes from `ListQuery`. `keyset` names the columns that order the list, descending; an
    index must begin with the filtered columns and end with these. A cursor may be any object of
    `cursors`, the list without its filters, so that it stays valid when its object is filtered out.
    `nulls_last` picks indexes that are made so; no column of a keyset is null.

    Raises ParameterInvalid for any other cursor.
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
    rows = rows.order_by(*(F(column).desc(nulls_last=nulls_last or None) for column in keyset))
    found = list((rows.reverse() if backwards else rows)[: limit + 1])
    page = found[:limit]
    if backwards:
        page.reverse()
    data = serializer(page, many=True).data
    return {"object": "list", "data": data, "has_more": len(found) > limit}


def _beyond(keyset: Sequence[str], cursor: Sequence[Any], operator: str) -> Q:
    """Return (a, b) < (x, y) as a <= x AND (a < x OR (a = x AND b < y)); an index serves a <= x."""
    column, *columns = keyset
    value, *values = cursor
    strictly = Q(**{f"{column}__{operator}": value})
    if not columns:
        return strictly
    same = Q(**{column: value}) & _beyond(columns, values, operator)
    return Q(**{f"{column}__{operator}e": value}) & (strictly | same)
