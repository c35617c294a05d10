"""Everything that staff see in the Django admin."""

from django.contrib import admin

from staff.audit.events import AuditEventAdmin
from staff.keys.keys import ApiKeyAdmin
from staff.organizations.organizations import OrganizationAdmin, PlanAdmin
from staff.people import StaffAdmin, StaffGroupAdmin

__all__ = [
    "ApiKeyAdmin",
    "AuditEventAdmin",
    "OrganizationAdmin",
    "PlanAdmin",
    "StaffAdmin",
    "StaffGroupAdmin",
]

admin.site.site_header = "ReachScore keys"
admin.site.site_title = "ReachScore keys"
admin.site.index_title = "What needs attention"
# Few kinds of rows, and wide lists of them: links over the page take less room.
admin.site.enable_nav_sidebar = False
