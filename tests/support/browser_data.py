"""Customers and keys with a past, made in the server's own database for the browser's tests."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts.models import Meter, Organization, Plan, Usage
from apikeys.authentication.scope_use import note_exercised
from apikeys.models import ApiKey, KeyDay, KeySecret, ScopeGrant
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.issue import issue
from apikeys.verbs.revoke import revoke
from apikeys.verbs.rotate import rotate
from audit.actor import Actor, ActorType
from audit.models import AuditEvent
from notices.contacts import change_contacts
from notices.models import Contact, Delivery
from staff.login.session_store import SessionStore
from staff.login.sessions import PROVED_AT
from staff.models import Passkey, User
from tests.support.admin_pages import admin_patterns, page_url

LONG_AGO = timedelta(days=120)


def fill() -> None:
    """Make an organization with some keys that need attention."""
    initech = Organization(name="Initech", plan=Plan.objects.get(slug="team"))
    initech.create(actor=Actor.cli())
    change_contacts(initech, actor=Actor.cli(), contacts=["ops@initech.example"])
    for columns in (
        {"delivered_at": timezone.now(), "answer": "250 2.0.0 Ok: queued as 4BxYZ"},
        {"failed_at": timezone.now(), "tries": 10, "answer": "550 5.1.1 no such user"},
        {},
    ):
        Delivery.objects.create(
            organization=initech,
            contact=initech.contacts.get(),
            type="api_key.leaked",
            is_at_once=True,
            due_at=timezone.now() + LONG_AGO,
            **columns,
        )
    today = timezone.now().date()
    Usage.objects.create(
        organization=initech,
        livemode=True,
        meter=Meter.TESTS,
        period_start=today.replace(day=1),
        used=870,
    )
    manager = _key(initech, "Key management", scopes=list(ALL_SCOPES))
    _use(manager, scopes=["tests:read", "domains:read"])
    nightly = _key(initech, "Nightly import", scopes=["tests:read", "tests:write", "domains:read"])
    _use(nightly, scopes=["tests:read"])
    _key(initech, "Old dashboard", scopes=["tests:read"])
    _key(initech, "Staging", scopes=["tests:read"], livemode=False)
    soon = timezone.now() + timedelta(days=12)
    _use(_key(initech, "Contractor", scopes=["domains:read"], expires_at=soon), scopes=[])
    rotating = _key(initech, "Webhook relay", scopes=["webhooks:manage"])
    rotate(rotating, actor=Actor.cli(), overlap=timedelta(days=1))
    gone = _key(initech, "Laptop of Peter", scopes=["tests:read"])
    revoke(gone, actor=Actor.cli(), reason="left: moved on")
    for name in ("Import A", "Import B", "Import C"):
        _use(_key(initech, name, scopes=["tests:read", "tests:write"]), scopes=["tests:read"])
    child = ApiKey(organization=initech, name="Made by management", scopes=["tests:read"])
    locator = manager.secrets.get().locator
    issue(child, actor=Actor(ActorType.KEY, id=manager.pk, label=manager.name, locator=locator))


def contact_links() -> list[str]:
    """Add a contact that is not verified; return the paths of its links."""
    owner = Organization.objects.filter(name__startswith="Initech").latest("created_at")
    contact = Contact.objects.create(organization=owner, email="new@initech.example")
    links = [contact.link_to(page) for page in ("verify-contact", "unsubscribe")]
    return [link.removeprefix(settings.PUBLIC_URL) for link in links]


def _key(organization: Organization, name: str, **fields: object) -> ApiKey:
    api_key = ApiKey(organization=organization, name=name, **fields)
    issue(api_key, actor=Actor.cli())
    then = timezone.now() - LONG_AGO
    ApiKey.objects.filter(pk=api_key.pk).update(created_at=then)
    ScopeGrant.objects.filter(api_key=api_key).update(granted_at=then)
    return api_key


def _use(api_key: ApiKey, *, scopes: list[str]) -> None:
    now = timezone.now()
    KeySecret.objects.filter(api_key=api_key).update(
        last_used_at=now - timedelta(minutes=7),
        last_used_ip="203.0.113.7",
        last_used_user_agent="initech-importer/2.4",
    )
    note_exercised(api_key.pk, scopes, day=now.date())
    KeyDay.objects.bulk_create(
        KeyDay(
            api_key=api_key,
            day=now.date() - timedelta(days=back),
            requests=300 + 170 * (back * 7 % 11),
            limited=40 if back % 9 == 4 else 0,
        )
        for back in range(28)
    )


GERMAN = "Straßenverkehrszulassungsordnungsfachberatungsgesellschaft mbH"  # 62 characters.
UNBROKEN = "W" * 100
ARABIC = "مفتاح الاستيراد الليلي 2026"
HEBREW = "חברת הדוגמה בע״מ (2026)"


def forget_proofs() -> None:
    """Date the proof of every staff session back by more than 15 minutes."""
    for row in Session.objects.all():
        held = {**row.get_decoded(), PROVED_AT: 0}
        Session.objects.filter(pk=row.pk).update(session_data=SessionStore().encode(held))


def forget_passkeys() -> None:
    """Let other tests log in with the password alone again."""
    Passkey.objects.all().delete()


def fill_with_long_names() -> list[str]:
    """Make organizations, keys and staff with the longest names allowed.

    Return every page of the admin, about one of them.
    """
    staff = User.objects.create_user("w" * 150, email=f"{'w' * 60}@example.com", is_staff=True)
    actor, soon = Actor.staff(staff), timezone.now() + timedelta(days=12)
    admin = User.objects.get(username="admin")
    Passkey.objects.create(user=admin, name="W" * 60, credential_id=b"w", sign_count=0)
    group = Group.objects.create(name=UNBROKEN + "W" * 50)
    staff.groups.add(group)
    for name in (ARABIC, HEBREW, GERMAN, UNBROKEN):
        owner = Organization(name=name, plan=Plan.objects.get(slug="team"))
        owner.create(actor=actor)
        change_contacts(owner, actor=actor, contacts=[f"{'w' * 60}@{'w' * 60}.example"])
        owner.change_plan(actor=actor, reason="W" * 200, requests_per_minute=2_147_483_647)
        _key(owner, f"nightly-import-of-{HEBREW}", expires_at=soon, livemode=False)
        gone = _key(owner, ARABIC, scopes=["tests:read"])
        revoke(gone, actor=actor, reason="W" * 200)
        maker = _key(owner, UNBROKEN, expires_at=soon)
        rotate(maker, actor=actor, overlap=timedelta(days=1))
        _use(maker, scopes=["tests:read"])
        maker.secrets.update(last_used_user_agent="W" * 200)
        secret = maker.secrets.latest("pk")
        by_key = Actor(ActorType.KEY, id=maker.pk, label=maker.name, locator=secret.locator)
        made = ApiKey(organization=owner, name=UNBROKEN, scopes=["tests:read"], expires_at=soon)
        issue(made, actor=by_key)
    owner.suspend(actor=actor, reason="W" * 200)
    rows = {
        "apikeys_apikey": maker,
        "apikeys_apikey_revoke-made": gone,
        "accounts_organization": owner,
        "accounts_plan": owner.plan,
        "audit_auditevent": AuditEvent.objects.filter(target_id=gone.pk).latest("sequence"),
        "staff_user": staff,
        "auth_user": staff,
        "auth_group": group,
        "view_on_site": staff,
    }
    of = f"?organization={owner.pk}"
    urls = [page_url(pattern, rows) for pattern in admin_patterns() if pattern.name]
    return [url + of * ("/bulk/" in url or url.endswith("apikey/add/")) for url in urls]
