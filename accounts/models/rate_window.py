from django.db import models

from accounts.models.organization import Organization


class RateWindow(models.Model):
    """How many requests an organization made in one mode in the minute that began at `started_at`.

    One row for all minutes, in an unlogged table: only the statement that authenticates a request
    writes it, and a crash of the database forgets no more than the minute at hand.
    """

    pk = models.CompositePrimaryKey("organization_id", "livemode")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    livemode = models.BooleanField()
    started_at = models.DateTimeField()
    requests = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.requests} since {self.started_at}"
