"""Demo data of a first run: an organization with two keys, and a superuser."""

import secrets

from django.db.models import Q, QuerySet

from accounts.models import Organization, Plan
from apikeys.models import ApiKey
from apikeys.verbs.issue import issue
from audit.actor import Actor
from staff.models import User

ADMIN = "admin"
MANAGE = ".venv/bin/python manage.py"


def make_welcome() -> dict[str, str]:
    """Create the demo organization with its keys, and a superuser, if there is none yet.

    Returns the plaintexts of what it made: `live_key`, `test_key`, `password`. Call it in a
    transaction that commits after they were shown: a key that nobody has seen must not be stored.
    """
    made = {}
    if not Organization.objects.exists():
        organization = Organization(name="Your Company", plan=Plan.objects.get(slug="team"))
        organization.create(actor=Actor.system())
        live = ApiKey(organization=organization, livemode=True, name="First live key")
        test = ApiKey(organization=organization, livemode=False, name="First test key")
        made["live_key"] = issue(live, actor=Actor.system())
        made["test_key"] = issue(test, actor=Actor.system())
    if not _admins().exists():
        made["password"] = secrets.token_urlsafe(12)
        User.objects.create_superuser(ADMIN, password=made["password"])
    return made


def _admins() -> QuerySet[User]:
    return User.objects.filter(Q(is_superuser=True) | Q(username=ADMIN))


def welcome_text(url: str, *, live_key: str = "", test_key: str = "", password: str = "") -> str:
    """Return the text that a run prints once it is ready; secrets only if they were just made."""
    # The name of PUBLIC_URL: passkeys and the reference's “Try it out” are bound to it.
    in_browsers = url.replace("127.0.0.1", "localhost")
    text = f"""
ReachScore is running. Ctrl-C ends it.

  API    {url}/v1
  Docs   {in_browsers}/docs
  Mails  .local/mail/
  Admin  {in_browsers}/admin/
"""
    if password:
        text += f"         user {ADMIN}, password {password} (shown once)\n"
    else:
        user = _admins().earliest("pk").username
        text += f"         user {user}; a new password: {MANAGE} changepassword {user}\n"
    if not live_key:
        organization = Organization.objects.earliest("created_at")
        return f"""{text}
To make keys with every scope for {organization.name}, a live and a test key:

  {MANAGE} issue_api_key {organization.id} --name 'My key'
  {MANAGE} issue_api_key {organization.id} --name 'My key' --test
"""
    authorization = f"-H 'Authorization: Bearer {live_key}'"
    body = '{"name": "My first key", "scopes": ["tests:read"]}'
    return f"""{text}
Two keys of the organization Your Company, plan team. They are shown once:

  live   {live_key}
  test   {test_key}

Make a key:

curl -X POST {url}/v1/keys {authorization} -H 'Content-Type: application/json' -d '{body}'

Ask who is calling:

curl {url}/v1/auth/me {authorization}
"""
