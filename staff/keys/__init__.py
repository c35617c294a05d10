"""API keys in the Django admin: found, looked at, issued and changed by verbs. Never edited."""
