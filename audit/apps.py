from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit log: who did what, sealed."""

    name = "audit"
    verbose_name = "Audit log"
