"""What the peers store: the same customers and keys as ours, in as few joins as possible."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from rest_framework_api_key.models import AbstractAPIKey


class Customer(models.Model):
    """An organization. What it used stands in its own row: no second query for that."""

    id = models.CharField(primary_key=True, max_length=40)
    name = models.CharField(max_length=100)
    plan = models.CharField(max_length=50)
    tests_this_month = models.PositiveIntegerField()
    tests_limit = models.PositiveIntegerField(null=True)
    domains = models.PositiveIntegerField()
    domains_limit = models.PositiveIntegerField(null=True)


class Key(models.Model):
    """What every answer shows of a key."""

    key_id = models.CharField(max_length=40, unique=True)
    key_name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=40))
    livemode = models.BooleanField(default=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)

    class Meta:
        abstract = True


class Account(Key, AbstractBaseUser):
    """The user model for those that hang a token on a user: authtoken and knox."""

    USERNAME_FIELD = "key_id"


class BearerKey(Key):
    """A key as one would write it by hand: found by its digest."""

    digest = models.BinaryField(unique=True)
    revoked = models.BooleanField(default=False)
    last_used_at = models.DateTimeField(null=True)
    slow_hash = models.CharField(max_length=200, blank=True)  # For argon2 alone.

    is_authenticated = True  # DRF's IsAuthenticated asks.


class CustomerApiKey(AbstractAPIKey, Key):
    """djangorestframework-api-key, with the fields of an organization as it documents."""

    last_used_at = models.DateTimeField(null=True)

    class Meta(AbstractAPIKey.Meta):
        pass
