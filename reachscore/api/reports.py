"""Django's error report, as a debug page or a mail shows it, without the keys in it."""

from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter

from reachscore.api.redaction import redact


class RedactingReporter(ExceptionReporter):
    """Settings name it. A report shows local variables, headers and the request as they were."""

    def get_traceback_html(self) -> SafeString:
        """Return the page."""
        return mark_safe(redact(super().get_traceback_html()))  # noqa: S308 - Django escaped it

    def get_traceback_text(self) -> SafeString:
        """Return the plain text."""
        return mark_safe(redact(super().get_traceback_text()))  # noqa: S308
