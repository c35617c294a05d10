"""API keys in the Django admin: found, looked at, issued and changed by verbs. Never edited."""

from apikeys.admin.keys import ApiKeyAdmin

__all__ = ["ApiKeyAdmin"]
