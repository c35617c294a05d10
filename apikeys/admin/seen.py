"""Forms that say by what they were decided, so that a stale tab changes nothing."""

from abc import abstractmethod
from typing import Any, ClassVar

from django import forms
from django.http import HttpResponse

from accounts.staff import VerbPage
from apikeys.exceptions import KeyChangedMeanwhile, KeyNotActive


class SeenForm(forms.Form):
    """Carries what its page showed of the key."""

    seen = forms.JSONField(widget=forms.HiddenInput)


class SeenPage(VerbPage):
    """A verb that is only carried out on a key that still is as the page showed it."""

    form_class: ClassVar[type[forms.Form]] = SeenForm
    sees: ClassVar[str]  # The attribute of the key that the decision stands on.

    def asks(self, data: Any = None) -> forms.Form:
        return self.form_class(data, initial={"seen": getattr(self.obj, self.sees)})

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.obj.is_active:
            return self.unchanged(f"{self.obj} is {self.obj.status}; nothing changed.")
        return super().post(*args, **kwargs)

    def carry_out(self, fields: dict[str, Any]) -> HttpResponse:
        try:
            return self.carry_out_seen(fields, {self.sees: fields["seen"]})
        except KeyNotActive:
            self.obj.refresh_from_db()
            return self.unchanged(f"{self.obj} is {self.obj.status}; nothing changed.")
        except KeyChangedMeanwhile:
            return self.unchanged(self.too_late())

    @abstractmethod
    def carry_out_seen(self, fields: dict[str, Any], seen: dict[str, Any]) -> HttpResponse:
        """Call the verb, as `carry_out`, with what its caller saw."""
