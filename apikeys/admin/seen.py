"""Forms that say by what they were decided, so that a stale tab changes nothing."""

import json
from typing import Any, ClassVar

from django import forms
from django.http import HttpResponse
from django.utils.crypto import salted_hmac

from accounts.models import AuditLog
from accounts.staff import VerbPage


class SeenForm(forms.Form):
    """Carries a token of what its page showed of the key."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False)


class SeenPage(VerbPage):
    """A verb that is only carried out on a key that still is as the page showed it."""

    form_class: ClassVar[type[forms.Form]] = SeenForm
    sees: ClassVar[str]  # The attribute of the key that the decision stands on.

    def asks(self, data: Any = None) -> forms.Form:
        return self.form_class(data, initial={"seen": self.token()})

    def token(self) -> str:
        """Return a digest of what the decision stands on, as it is now."""
        shown = json.dumps(getattr(self.obj, self.sees))
        return salted_hmac(f"apikeys.seen.{self.sees}", shown).hexdigest()

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        # Under the lock of the verb, which no other verb can hold between this look and the change.
        with AuditLog.of(self.obj.organization_id):
            self.obj.refresh_from_db()
            if not self.obj.is_active:
                return self.unchanged(f"{self.obj} is {self.obj.status}; nothing changed.")
            if self.request.POST.get("seen") != self.token():
                return self.unchanged(self.too_late())
            return super().post(*args, **kwargs)
