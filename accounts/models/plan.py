from django.db import models


class Plan(models.Model):
    """What an organization can buy. A limit that is null is no limit."""

    slug = models.SlugField(primary_key=True)
    name = models.CharField(max_length=50)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tests_limit = models.PositiveIntegerField("tests", null=True, blank=True)
    tests_renew = models.BooleanField(
        "tests renew monthly",
        default=True,
        help_text="Off: the tests are granted once, not every calendar month (UTC).",
    )
    domains_limit = models.PositiveIntegerField("domains", null=True, blank=True)
    active_keys_limit = models.PositiveIntegerField(
        "active keys",
        null=True,
        blank=True,
        default=100,
        help_text="In each mode; revoked and expired ones do not count.",
    )
    price_cents = models.PositiveIntegerField("price, cents a month", null=True, blank=True)

    class Meta:
        ordering = ["price_cents"]

    def __str__(self) -> str:
        return self.name
