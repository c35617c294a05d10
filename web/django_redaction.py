"""Subclasses of Django's classes that redact keys. The settings name them."""

from django.conf import settings
from django.contrib.messages.storage.fallback import FallbackStorage
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

from web.redaction import redact


class RedactingStorage(FallbackStorage):
    """Redacts messages: they are stored in a cookie, and the admin's repeat ids from the URL."""

    def add(self, level: int, message: str, extra_tags: str | None = "") -> None:
        """Queue a message. If a key has to be redacted, the message loses its markup, too."""
        text = str(message)
        shown = redact(text)
        super().add(level, message if shown == text else shown, extra_tags)


class RedactingReporter(ExceptionReporter):
    """Redacts debug pages, which show local variables, headers and the request."""

    def get_traceback_html(self) -> SafeString:
        """Return the page. It is escaped already, and redaction adds nothing to escape."""
        return SafeString(_hidden(super().get_traceback_html()))  # nosec B703

    def get_traceback_text(self) -> SafeString:
        return SafeString(_hidden(super().get_traceback_text()))  # nosec B703


def _hidden(report: str) -> str:
    # Django hides variables by name, but the driver has the password inside longer texts.
    for password in filter(None, (d.get("PASSWORD") for d in settings.DATABASES.values())):
        for written in (escape(password), password):
            report = report.replace(written, "[redacted]")
    return redact(report)
