from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    """API keys: their shape, storage, authentication, scopes and administration."""

    name = "apikeys"
    verbose_name = "API keys"
