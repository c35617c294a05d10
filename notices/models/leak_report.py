"""Reports of exposed keys that wait to be worked off, and the windows that limit them."""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F
from django.utils import timezone

from web.ids import new_id


class LeakReport(models.Model):
    """Keys that somebody found exposed, as digests. It is deleted once it is worked off.

    `due_at` is also a lease: who takes a report moves it on.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "rpt"))
    digests = ArrayField(models.BinaryField(), help_text="Of each key, under every pepper.")
    found_at = models.CharField(max_length=1000, blank=True)
    is_small = models.BooleanField(help_text="Worked off before those of many keys.")
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        indexes = [models.Index(F("is_small").desc(), F("due_at"), name="leak_report_waiting")]

    def __str__(self) -> str:
        return self.id


class ReportWindow(models.Model):
    """How many reports may still come from a network, or of a size, until `ends_at`.

    The table is unlogged, and `forget` deletes the windows that have ended.
    """

    subject = models.CharField(primary_key=True, max_length=50)
    ends_at = models.DateTimeField()
    remaining = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.remaining} of {self.subject}"
