"""The states of a key as all pages show them, and how keys are found: by filters and a search."""

import re
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models.plan import PLANS
from apikeys.api.querysets import filtered, unused_for
from apikeys.models import ApiKey, KeySecret, KeyStatus
from apikeys.networks import clean_networks
from apikeys.plaintext import LOCATOR_LENGTH, is_well_formed
from apikeys.scopes import ALL_SCOPES
from staff.kit.lists import LONGEST_SEARCH, ChoiceFilter, ColumnFilter, badge, moment
from staff.kit.search import MOST_WORDS, holds
from staff.kit.verb_page import VerbAdmin
from web.errors.refusals import ParameterInvalid
from web.redaction import find_key, find_locator, holds_key

Keys = QuerySet[ApiKey]

EXPIRING_DAYS: Final = 30
WEEK: Final = timedelta(days=7)
FIRST_USE_WITHIN: Final = timedelta(days=30)
# The last four characters of a key, or its locator.
PUBLIC_PART: Final = re.compile(rf"[0-9A-Za-z]{{4}}|[0-9A-Za-z]{{{LOCATOR_LENGTH}}}")
MOST_NAMED: Final = 200
DOTS: Final = ".…"  # Before the last four characters, as the list shows them: …IVk5.
# The end of a key, which no URL may hold. No word of a name is so long.
SECRET_ALONE: Final = re.compile(r"[0-9A-Za-z]{24}")
MISTYPED: Final = "a character is missing or mistyped"
NEITHER_KEPT: Final = ("csrfmiddlewaretoken", SEARCH_VAR, PAGE_VAR)


def refused_as(api_key: ApiKey) -> str:
    """Return the state in which every request with the key is refused, or "" if none is."""
    if not api_key.is_active:
        return api_key.status.value
    return "suspended" if api_key.organization.suspended_at else ""


def badges_of(api_key: Any) -> SafeString:
    """Return the badges of a `presentable` key. It may be expiring and rotating at once."""
    if refused := refused_as(api_key):
        return badge(refused)
    found = []
    if api_key.expires_at and api_key.expires_at <= timezone.now() + timedelta(EXPIRING_DAYS):
        found.append("expiring")
    if any(secret.expires_at and secret.is_live for secret in api_key.unended_secrets):
        found.append("rotating")
    return format_html_join(" ", "{}", ((badge(state),) for state in found or ["active"]))


def badge_of(secret: KeySecret) -> SafeString:
    """Return the badge of a secret. It says refused if the key is."""
    ended = secret.ended_at or (None if secret.is_live else secret.expires_at)
    if ended:
        return format_html("ended {}", moment(ended))
    refused = refused_as(secret.api_key)
    usual = ("rotating", "rotated out") if secret.expires_at else ("active", "newest")
    state = badge(refused) if refused else badge(*usual)
    if secret.expires_at and secret.api_key.is_active:
        return format_html("{} ends {}", state, moment(secret.ends_at))
    return state


def active(keys: Keys) -> Keys:
    """Return the keys that are not revoked, expired or suspended with their organization."""
    return keys.filter(KeyStatus.ACTIVE.condition, organization__suspended_at=None)


def never_used(keys: Keys) -> Keys:
    old = active(keys).filter(created_at__lte=timezone.now() - FIRST_USE_WITHIN)
    return old.exclude(secrets__last_used_at__isnull=False)


def rotating(keys: Keys) -> Keys:
    secrets = KeySecret.objects.filter(api_key=OuterRef("pk"), ended_at=None)
    return active(keys).filter(Exists(secrets.filter(expires_at__gt=timezone.now())))


class StatusFilter(ChoiceFilter):
    title = parameter_name = "status"
    narrowed = {
        "active": active,
        "expiring": lambda keys: filtered(active(keys), {"expires_within_days": EXPIRING_DAYS}),
        "rotating": rotating,
        "suspended": lambda keys: keys.filter(
            KeyStatus.ACTIVE.condition, organization__suspended_at__isnull=False
        ),
        "expired": partial(filtered, query={"status": KeyStatus.EXPIRED}),
        "revoked": partial(filtered, query={"status": KeyStatus.REVOKED}),
        "revoked this week": lambda keys: keys.filter(revoked_at__gt=timezone.now() - WEEK),
    }


class ModeFilter(ColumnFilter):
    title = "mode"
    parameter_name = column = "livemode__exact"
    lookups = staticmethod(lambda *_: [("1", "live"), ("0", "test")])


class UnusedFilter(ChoiceFilter):
    title = parameter_name = "unused"
    narrowed = {
        "30 days": lambda keys: unused_for(keys, timedelta(days=30)),
        "90 days": lambda keys: unused_for(active(keys), timedelta(days=90)),
        "never used": never_used,
    }


class ScopeFilter(ChoiceFilter):
    title = parameter_name = "scope"
    narrowed = {
        "more than used": lambda keys: filtered(active(keys), {"over_privileged": True}),
        **{scope: partial(filtered, query={"scope": scope}) for scope in ALL_SCOPES},
    }


class PlanFilter(ColumnFilter):
    title = parameter_name = "plan"
    column = "organization__plan"
    # Only migrations create plans, so no query is needed.
    lookups = staticmethod(lambda *_: [(plan["slug"], plan["name"]) for plan in PLANS])


KEY_FILTERS: Final = (StatusFilter, ModeFilter, UnusedFilter, ScopeFilter, PlanFilter)


def matching(keys: Keys, text: str) -> Keys:
    """Return the keys that match every word of `text`: ids, locator, last four characters and
    allowed networks exactly, the texts of the key and its organization anywhere."""
    for word in text.split()[:MOST_WORDS]:
        bare = word.lstrip(DOTS)
        named = holds(bare) | Q(pk=bare) | Q(organization_id=bare)
        if PUBLIC_PART.fullmatch(bare):  # A separate query: no index serves an OR over two tables.
            secrets = KeySecret.objects.filter(Q(locator=bare) | Q(last_four=bare)).order_by()
            named |= Q(pk__in=list(secrets.values_list("api_key_id", flat=True)[:MOST_NAMED]))
        with suppress(ParameterInvalid):
            named |= Q(allowed_ips__contains=clean_networks([bare]))
        keys = keys.filter(named)
    return keys


def find(model_admin: VerbAdmin, request: HttpRequest) -> HttpResponse:
    """Redirect to the page of a pasted key, or to the list of what the text finds."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    text = request.POST.get(SEARCH_VAR, "").strip()
    q = said = ""
    if key := find_key(text):
        if secret := KeySecret.objects.find(key):
            return HttpResponseRedirect(model_admin.page_url(secret.api_key))
        why = "it was issued by another system" if is_well_formed(key) else MISTYPED
        said = f"There is no such key here: {why}."
    elif locator := find_locator(text):
        q = locator  # The key was cut short. No URL may hold the rest.
    elif SECRET_ALONE.search(text):
        said = "That looks like a part of a key: paste the whole key."
    elif len(text) > LONGEST_SEARCH:
        said = f"Search for at most {LONGEST_SEARCH} characters, or paste a whole key."
    else:
        q = text.lstrip(DOTS)
    if said:
        messages.warning(request, said)
    # Filters and order of the list stay, and its first page is shown.
    query = {
        name: str(value)
        for name, value in request.POST.items()
        if name not in NEITHER_KEPT and not holds_key(f"{name} {value}")
    }
    query |= {SEARCH_VAR: q} if q else {}
    return HttpResponseRedirect(model_admin.list_url(query))
