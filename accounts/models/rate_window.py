from django.db import models

from accounts.models.organization import Organization


class RateWindow(models.Model):
    """A fixed-window rate counter: requests of an organization and mode since `started_at`.

    Each new minute overwrites the row. Only the statement that authenticates a request writes it.
    The table is unlogged: a crash of the database loses the current minute's count at most.
    """

    pk = models.CompositePrimaryKey("organization_id", "livemode")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    livemode = models.BooleanField()
    started_at = models.DateTimeField()
    requests = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.requests} since {self.started_at}"
