"""Imports all modules of the admin's pages, and names the site."""

from django.contrib import admin

from staff import people  # noqa: F401 - registers, as those below do
from staff.audit import events  # noqa: F401
from staff.keys import keys  # noqa: F401
from staff.organizations import organizations  # noqa: F401

admin.site.site_header = "ReachScore keys"
admin.site.site_title = "ReachScore keys"
admin.site.index_title = "What needs attention"
# Links over the page take less room: there are few models, and their lists are wide.
admin.site.enable_nav_sidebar = False
