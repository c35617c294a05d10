"""The sibling's endpoints."""

from functools import partial
from typing import Final

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Meter
from apikeys import meters
from apikeys.authentication.caller import caller_of
from apikeys.permissions import requires
from apikeys.scopes import Scope
from tests.sibling import serializers
from tests.sibling.models import Domain, EmailTest
from tests.sibling.sending import send
from web.errors.refusals import ResourceNotFound
from web.input.parameters import ListQuery
from web.output.lists import list_page
from web.output.openapi import error_responses
from web.output.views import ApiView

SIMULATED_SCORE: Final = 92


class TestsView(ApiView):
    permission_classes = [requires(read=Scope.TESTS_READ, write=Scope.TESTS_WRITE)]
    queries = {"get": ListQuery}

    @extend_schema(
        operation_id="list_tests",
        parameters=[ListQuery],
        responses={
            200: serializers.TestList,
            **error_responses("insufficient_scope"),
        },
    )
    def get(self, request: Request) -> Response:
        """List tests, newest first."""
        tests = EmailTest.objects.filter(**caller_of(request).ownership)
        page = list_page(
            tests,
            cursors=tests,
            keyset=("created_at", "id"),
            query=self.query,
            serializer=serializers.Test,
        )
        return Response(page)

    @extend_schema(
        operation_id="create_test",
        request=serializers.TestRequest,
        responses={
            201: serializers.Test,
            **error_responses("insufficient_scope", "quota_exceeded"),
        },
    )
    @meters.metered(Meter.TESTS)
    def post(self, request: Request) -> Response:
        """Start a test; in the sandbox it is completed at once, and no mail is sent."""
        caller = caller_of(request)
        subject = self.body(serializers.TestRequest)["subject"]
        test = EmailTest.objects.create(
            **caller.ownership,
            subject=subject,
            score=None if caller.livemode else SIMULATED_SCORE,
        )
        if caller.livemode:
            transaction.on_commit(partial(send, test))
        return Response(serializers.Test(test).data, status=201)


class DomainsView(ApiView):
    permission_classes = [requires(write=Scope.DOMAINS_WRITE)]

    @extend_schema(
        operation_id="create_domain",
        request=serializers.DomainRequest,
        responses={
            200: serializers.Domain,
            201: serializers.Domain,
            **error_responses("insufficient_scope", "quota_exceeded"),
        },
    )
    def post(self, request: Request) -> Response:
        """Add a domain; one that exists is answered as it is, and counts nothing."""
        caller = caller_of(request)
        name = self.body(serializers.DomainRequest)["name"]
        with transaction.atomic():
            domain, is_new = Domain.objects.get_or_create(
                **caller.ownership, name=name, defaults={"is_verified": not caller.livemode}
            )
            if is_new:
                meters.consume(caller, Meter.DOMAINS)
        return Response(serializers.Domain(domain).data, status=201 if is_new else 200)


class DomainView(ApiView):
    permission_classes = [requires(write=Scope.DOMAINS_WRITE)]

    @extend_schema(
        operation_id="delete_domain",
        responses={
            200: serializers.Domain,
            **error_responses("insufficient_scope", "resource_not_found"),
        },
    )
    def delete(self, request: Request, domain_id: str) -> Response:
        """Remove a domain and show it once more."""
        caller = caller_of(request)
        with transaction.atomic():
            domains = Domain.objects.filter(**caller.ownership, pk=domain_id)
            domain = domains.select_for_update().first()  # Of two who remove it, one finds it.
            if domain is None:
                raise ResourceNotFound("Your organization has no such domain in this mode.")
            shown = serializers.Domain(domain).data
            domain.delete()
            meters.release(caller, Meter.DOMAINS)
        return Response(shown)
