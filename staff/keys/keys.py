"""The list of keys, the page of one key, and the page that issues one."""

from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import Organization
from apikeys.api.querysets import presentable
from apikeys.models import ApiKey, KeyDay, KeySecret
from apikeys.verbs.issue import issue
from audit.models import AuditEvent
from staff.keys.bulk import BULK_PAGES, way_back
from staff.keys.filters import KEY_FILTERS, badge_of, badges_of, find, matching
from staff.keys.forms import NEW_KEY_ID, IssueForm
from staff.keys.verbs import KEY_VERBS, scopes_of
from staff.kit.forms import show_refusal
from staff.kit.lists import badge, chart_of, column, moment, staff_of
from staff.kit.verb_page import VerbAdmin, verb_urls
from staff.login.pages import page
from staff.login.proof import proved
from web.errors.refusals import Refusal, ResourceNotFound
from web.ids import new_id

DAYS_SHOWN: Final = 30
MOST_ENDED_SECRETS: Final = 5
MOST_SHOWN: Final = 20  # Of events, and of what a key made.


@admin.register(ApiKey)
class ApiKeyAdmin(VerbAdmin):
    list_display = ("key", "owner", "status", "last_used", "expires", "created")
    columns_of = {
        ("scope", "more than used"): "unused_scopes",
        ("status", "rotating"): "old_secret",
    }
    list_filter = KEY_FILTERS
    search_fields = ("name",)  # Makes Django show the search box, which posts: see `find`.
    finds = staticmethod(matching)
    search_help_text = (
        "A whole key, its locator or last four characters; an id or an allowed address; "
        "words of its name, its organization or its contact's address."
    )
    empty_hint = "No key matches. Take a filter away, search for less, or issue a key."
    verbs = KEY_VERBS
    rows = staticmethod(lambda keys: presentable(keys.select_related("organization")))
    owner = column("organization", lambda key: key.organization.name)
    last_used = column("last used", lambda key: moment(key.last_used_at, never="never"))
    expires = column("expires", lambda key: moment(key.expires_at), ordering="expires_at")

    @admin.display(description="key", ordering="name")
    def key(self, api_key: Any) -> SafeString:
        html = '<bdi>{}</bdi> {} <span class="quiet">…{}</span>'
        mode = "" if api_key.livemode else badge("test", "test key")
        return format_html(html, api_key.name, mode, api_key.last_four)

    @admin.display(description="status")
    def status(self, api_key: Any) -> SafeString:
        since = api_key.revoked_at
        return format_html("{} {}", badges_of(api_key), moment(since) if since else "")

    @admin.display(description="scopes never used")
    def unused_scopes(self, api_key: Any) -> str:
        return ", ".join(grant.scope for grant in api_key.all_grants if grant.is_long_unused)

    @admin.display(description="the old secret")
    def old_secret(self, api_key: Any) -> SafeString:
        old = ((badge_of(secret),) for secret in api_key.unended_secrets if secret.expires_at)
        return format_html_join("", "{}", old)

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return an order that no index has, if there is a search."""
        # By the index PostgreSQL reads keys by age until 51 match: 2 s of a million keys for an old
        # customer or for two letters that no key has. So it takes 60 ms, 200 ms if all match.
        by_age = [(F("created_at") + timedelta(0)).desc(), "-id"]
        return by_age if request.GET.get(SEARCH_VAR) else super().get_ordering(request)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(partial(find, self))
        bulk = verb_urls(self, BULK_PAGES, "bulk/", "bulk_")
        return [path("find/", view, name=f"{self.url_name}_find"), *bulk, *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> Any:
        """Return the bulk verbs that the user may call. Each answers with its dry run."""
        actions = {}
        for bulk in BULK_PAGES:
            if request.user.has_perm(bulk.permission):
                name = f"{bulk.slug}_selected"
                said = bulk.label.replace("keys", "the selected keys")
                actions[name] = (bulk.selected, name, said)
        return actions

    def get_object(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> Any:
        if not object_id.isascii() or not object_id.isprintable():
            return None
        rows = self.get_queryset(request).select_related("organization__plan", "maker__api_key")
        return presentable(rows.filter(pk=object_id)).first()

    def facts(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        ended = obj.secrets.exclude(ended_at=None)
        elsewhere = KeySecret.objects.filter(issued_by__api_key=obj).exclude(api_key=obj)
        made = ApiKey.objects.filter(maker__api_key=obj)
        used = KeyDay.last_of(obj.pk, days=DAYS_SHOWN, today=timezone.now().date())
        events = AuditEvent.objects.filter(target_id=obj.pk).order_by("-sequence")
        return {
            "secrets": [*obj.unended_secrets, *ended[:MOST_ENDED_SECRETS]],
            "scopes": scopes_of(obj),
            "chart": chart_of("Requests of the last 30 days", used),
            "made": presentable(made.select_related("organization"))[:MOST_SHOWN],
            "issued_elsewhere": elsewhere.select_related("api_key")[:MOST_SHOWN],
            "events": events[:MOST_SHOWN],
        }

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("apikeys.issue_apikey")

    def add_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        """Issue a key. The answer to the POST shows its plaintext, and nothing stores it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        is_proved = proved(request)
        form = IssueForm(request.POST or None, initial={"key_id": NEW_KEY_ID().sign(new_id("key"))})
        context: dict[str, Any] = {"title": "Issue an API key", "back": way_back(request, self)}
        owner = {}
        if "organization" in request.GET:  # From its page: staff cannot choose another by mistake.
            try:
                owner["organization"] = Organization.find(request.GET["organization"])
            except ResourceNotFound:
                raise Http404 from None
            del form.fields["organization"]
            context["title"] = f"Issue an API key for {owner['organization']}"
        if form.is_valid() and is_proved:
            fields = form.cleaned_data | owner
            reason = fields.pop("reason")
            api_key = ApiKey(id=fields.pop("key_id"), **fields)
            issued = partial(page, request, "apikeys/apikey/issued", opts=self.opts)
            try:
                with transaction.atomic():
                    plaintext = issue(api_key, actor=staff_of(request), reason=reason)
                    self.log_addition(request, api_key, f"Issued: {reason}")
                return issued(title=f"Issued {api_key}", api_key=api_key, plaintext=plaintext)
            except Refusal as refusal:
                show_refusal(refusal, form)
            except IntegrityError:  # The form was sent twice, and the database refuses the second.
                if (issued_before := ApiKey.objects.filter(pk=api_key.pk).first()) is None:
                    raise
                return issued(title="Already issued", api_key=issued_before)
        return page(request, "apikeys/apikey/issue", opts=self.opts, form=form, **context)
