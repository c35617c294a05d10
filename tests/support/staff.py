"""Browsers of staff, and staff of each group, of none, and superusers."""

from typing import Any, cast

from django import forms
from django.contrib.auth.models import Group
from django.test import Client

from staff.login.sessions import prove
from staff.models import User


def log_in(client: Client, user: User) -> None:
    """Log in as a user who has typed the password just now."""
    client.force_login(user)
    session = client.session
    prove(session)
    session.save()


def member_of(*groups: str) -> User:
    """Make a member of staff in these groups, or in none."""
    name = "-".join(("staff", *groups)).lower().replace(" ", "-")
    user = User.objects.create_user(name, password="correct horse", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    assert user.groups.count() == len(groups)
    return user


def filled_in(browser: Client, url: str, **fields: Any) -> dict[str, Any]:
    """Open one of our forms; return what a browser would send of it. `fields` override."""
    page: Any = browser.get(url)
    assert page.status_code == 200, (url, page.status_code)
    verb = page.context.get("verb")
    sent: dict[str, Any] = {"seen": verb.seen} if verb else {}
    for field in page.context["form"]:
        value, widget = field.value(), field.field.widget
        if isinstance(widget, forms.MultiWidget):
            parts = enumerate(cast(Any, widget.decompress(value)))
            sent |= {f"{field.html_name}_{n}": str(part or "") for n, part in parts}
        elif value not in (None, False):
            sent[field.html_name] = value
    return {**sent, **fields}
