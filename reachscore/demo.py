"""The first run's gifts: an organization with two keys, and a member of staff."""

import secrets
from dataclasses import dataclass

from accounts.models import Actor, Organization, Plan, User
from apikeys.models import ApiKey

ADMIN: str = "admin"


@dataclass(frozen=True)
class Welcome:
    """What a first run has to show once; it is stored nowhere."""

    live_key: str = ""
    test_key: str = ""
    password: str = ""


def make_welcome() -> Welcome:
    """Make what a new database lacks: the demo organization and its keys, a first superuser.

    Call it inside a transaction that ends after the result was shown, so that nothing stays behind
    that nobody has seen.
    """
    live_key = test_key = password = ""
    if not Organization.objects.exists():
        organization = Organization(name="Your Company", plan=Plan.objects.get(slug="team"))
        organization.create(actor=Actor.system())
        live_key = _issue(organization, livemode=True)
        test_key = _issue(organization, livemode=False)
    if not User.objects.filter(is_superuser=True).exists():
        password = secrets.token_urlsafe(12)
        User.objects.create_superuser(ADMIN, password=password)
    return Welcome(live_key, test_key, password)


def _issue(organization: Organization, *, livemode: bool) -> str:
    name = "First live key" if livemode else "First test key"
    api_key = ApiKey(organization=organization, livemode=livemode, name=name)
    return api_key.issue(actor=Actor.system())
