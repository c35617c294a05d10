"""Django's one-time messages, without the keys in them."""

from django.contrib.messages.storage.fallback import FallbackStorage

from reachscore.api.redaction import redact


class RedactingStorage(FallbackStorage):
    """Settings name it: messages wait in a cookie, and the admin's repeat ids out of the URL."""

    def add(self, level: int, message: str, extra_tags: str | None = "") -> None:
        """Queue a message; one that holds a key loses it, and its markup with it."""
        text = str(message)
        shown = redact(text)
        super().add(level, message if shown == text else shown, extra_tags)
