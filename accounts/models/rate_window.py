from django.db import models

from accounts.models.organization import Organization


class RateWindow(models.Model):
    """The rate limit's counter (fixed window): an organization's requests since `started_at`.

    One row for each mode, overwritten by each new minute. Only the statement that authenticates a
    request writes it. The table is unlogged: a crash of the database loses this minute at most.
    """

    pk = models.CompositePrimaryKey("organization_id", "livemode")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    livemode = models.BooleanField()
    started_at = models.DateTimeField()
    requests = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.requests} since {self.started_at}"
