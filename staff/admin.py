"""Everything that staff see in the Django admin."""

from django.contrib import admin

from staff import people  # noqa: F401 - registers, as those below do
from staff.audit import events  # noqa: F401
from staff.keys import keys  # noqa: F401
from staff.organizations import organizations  # noqa: F401

admin.site.site_header = "ReachScore keys"
admin.site.site_title = "ReachScore keys"
admin.site.index_title = "What needs attention"
# Few kinds of rows, and wide lists of them: links over the page take less room.
admin.site.enable_nav_sidebar = False
