"""Django's error report, on a debug page or in a mail, without keys and database passwords."""

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

from reachscore.api.redaction import redact


class RedactingReporter(ExceptionReporter):
    """Settings name it. A report shows local variables, headers and the request as they were."""

    def get_traceback_html(self) -> SafeString:
        """Return the page; Django has escaped it, and hiding keys adds nothing to escape."""
        return SafeString(_hidden(super().get_traceback_html()))  # nosec B703

    def get_traceback_text(self) -> SafeString:
        """Return the plain text."""
        return SafeString(_hidden(super().get_traceback_text()))  # nosec B703


def _hidden(report: str) -> str:
    """Django hides variables by their names; the driver's hold the password in a longer text."""
    for password in filter(None, (d.get("PASSWORD") for d in settings.DATABASES.values())):
        for written in (escape(password), password):
            report = report.replace(written, "[redacted]")
    return redact(report)
