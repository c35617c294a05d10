"""What can be bought; changed by migrations only."""

from django.contrib import admin

from accounts.models import Plan
from accounts.staff import ReadOnlyAdmin


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "requests_per_minute",
        "tests_limit",
        "tests_renew",
        "domains_limit",
        "price_cents",
    )
