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
    live_key, test_key = _first_keys()
    return Welcome(live_key, test_key, _first_password())


def _first_keys() -> tuple[str, str]:
    if Organization.objects.exists():
        return "", ""
    organization = Organization(name="Your Company", plan=Plan.objects.get(slug="team"))
    organization.create(actor=Actor.system())
    live = ApiKey(organization=organization, livemode=True, name="First live key")
    test = ApiKey(organization=organization, livemode=False, name="First test key")
    return live.issue(actor=Actor.system()), test.issue(actor=Actor.system())


def _first_password() -> str:
    if User.objects.filter(is_superuser=True).exists():
        return ""
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser(ADMIN, password=password)
    return password
