"""What our admin pages share: rows are read there, and changed through verbs only."""

from accounts.staff.lists import ChoiceFilter, ColumnFilter, EndlessAdmin, ReadOnlyAdmin, staff_of
from accounts.staff.verb_page import ReasonForm, VerbAdmin, VerbPage, render

__all__ = [
    "ChoiceFilter",
    "ColumnFilter",
    "EndlessAdmin",
    "ReadOnlyAdmin",
    "ReasonForm",
    "VerbAdmin",
    "VerbPage",
    "render",
    "staff_of",
]
