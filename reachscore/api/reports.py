"""Django's error report, as a debug page or a mail shows it, without the keys in it."""

from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

from reachscore.api.redaction import redact


class RedactingReporter(ExceptionReporter):
    """Settings name it. A report shows local variables, headers and the request as they were."""

    def get_traceback_html(self) -> SafeString:
        """Return the page; Django has escaped it, and hiding keys adds nothing to escape."""
        return SafeString(redact(super().get_traceback_html()))  # nosec B703

    def get_traceback_text(self) -> SafeString:
        """Return the plain text."""
        return SafeString(redact(super().get_traceback_text()))  # nosec B703
