"""The audit log: read, searched, verified and exported, and never changed."""

from django.contrib import admin

from accounts.models import AuditEvent
from accounts.staff import ReadOnlyAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "target_id", "actor", "organization_id", "reason")
    list_filter = ("action", "actor_type", "created_at")
    search_fields = ("target_id", "organization_id", "actor_label", "reason", "request_id", "ip")
    exclude = ("seal",)
    readonly_fields = ("seal_in_hex",)

    @admin.display(description="actor")
    def actor(self, event: AuditEvent) -> str:
        return str(event.actor)

    @admin.display(description="seal")
    def seal_in_hex(self, event: AuditEvent) -> str:
        return bytes(event.seal).hex()
