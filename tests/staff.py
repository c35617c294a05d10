"""The browsers of staff, and who staff are: one of each group, one of none, a superuser."""

from django.contrib.auth.models import Group
from django.test import Client

from staff.login.sessions import prove
from staff.models import User


def log_in(client: Client, user: User) -> None:
    """Log in as somebody who has typed the password just now."""
    client.force_login(user)
    session = client.session
    prove(session)
    session.save()


def member_of(*groups: str) -> User:
    """Make a member of staff in these groups, and in none without."""
    name = "-".join(("staff", *groups)).lower().replace(" ", "-")
    user = User.objects.create_user(name, password="correct horse", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    assert user.groups.count() == len(groups)
    return user
