"""Organizations, plans, the audit log and staff, in the Django admin."""

from django.contrib import admin

import accounts.access.people  # noqa: F401 - registers accounts and groups of staff
from accounts.admin.audit import AuditEventAdmin
from accounts.admin.organizations import OrganizationAdmin, PlanAdmin

__all__ = ["AuditEventAdmin", "OrganizationAdmin", "PlanAdmin"]

admin.site.site_header = "ReachScore keys"
admin.site.site_title = "ReachScore keys"
admin.site.index_title = "What needs attention"
# Few kinds of rows, and wide lists of them: links over the page take less room.
admin.site.enable_nav_sidebar = False
