"""What our admin pages share: rows are read there, and changed through verbs only."""

from accounts.staff.bases import ReadOnlyAdmin, VerbAdmin, staff_of
from accounts.staff.endless import EndlessAdmin
from accounts.staff.verb_page import ReasonForm, VerbPage

__all__ = ["EndlessAdmin", "ReadOnlyAdmin", "ReasonForm", "VerbAdmin", "VerbPage", "staff_of"]
