"""What Django would keep or show, without the keys in it. Settings name these classes."""

from django.conf import settings
from django.contrib.messages.storage.fallback import FallbackStorage
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

from web.redaction import redact


class RedactingStorage(FallbackStorage):
    """Messages wait in a cookie, and the admin's repeat ids out of the URL."""

    def add(self, level: int, message: str, extra_tags: str | None = "") -> None:
        """Queue a message; one that holds a key loses it, and its markup with it."""
        text = str(message)
        shown = redact(text)
        super().add(level, message if shown == text else shown, extra_tags)


class RedactingReporter(ExceptionReporter):
    """Django's shows local variables, headers and the request as they were."""

    def get_traceback_html(self) -> SafeString:
        """Return the page; Django has escaped it, and hiding keys adds nothing to escape."""
        return SafeString(_hidden(super().get_traceback_html()))  # nosec B703

    def get_traceback_text(self) -> SafeString:
        return SafeString(_hidden(super().get_traceback_text()))  # nosec B703


def _hidden(report: str) -> str:
    # Django hides variables by their names; the driver's hold the password in a longer text.
    for password in filter(None, (d.get("PASSWORD") for d in settings.DATABASES.values())):
        for written in (escape(password), password):
            report = report.replace(written, "[redacted]")
    return redact(report)
