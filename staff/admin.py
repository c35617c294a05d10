"""Imports all modules of the admin's pages."""

from staff import people  # noqa: F401 - registers, as those below do
from staff.audit import events  # noqa: F401
from staff.keys import keys  # noqa: F401
from staff.organizations import organizations  # noqa: F401
