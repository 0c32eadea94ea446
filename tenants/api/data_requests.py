"""What exports and erasures share: whom a request is about, who may see it, and how it is shown.

subject=…               an end user of the tenant, by the name that the tenant's requests give them
scope=account           the person who is logged in
scope=tenant            the whole tenant: its owner, its data-protection officer, a key with the scope gdpr
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.requests import retry_request
from gdpr.holding import Identity, Whose
from gdpr.pseudonyms import subject_pseudonym
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.permissions import caller_of, is_operator, user_of
from tenants.api.tenancy import tenant_of
from tenants.domain.data_requests import Asker, find_request
from tenants.rules import Capability

ACCOUNT, TENANT = "account", "tenant"
SUBJECT_MAX = 512
NOT_THERE = "There is no such request."
EITHER = (Capability.GDPR_REQUEST, Capability.ACCOUNT, Capability.COLONY_WRITE)


class WhomQuery(serializers.Serializer[Any]):
    subject = serializers.CharField(
        default="", allow_blank=True, max_length=SUBJECT_MAX,
        help_text="An end user, as `user` or `safety_identifier` of requests names them",
    )  # fmt: skip
    scope = serializers.ChoiceField(
        [ACCOUNT, TENANT],
        required=False,
        help_text="Left out: the tenant's, for who may; else your own account",
    )
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator: of this tenant")


class RequestOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="data_request")
    kind = serializers.ChoiceField(RequestKind.choices)
    whose = serializers.ChoiceField([(each.value, each.value) for each in Whose])
    tenant_id = serializers.UUIDField(allow_null=True)
    subject = serializers.CharField(allow_null=True, help_text="Pseudonym of an end user")
    state = serializers.ChoiceField(RequestState.choices)
    step = serializers.CharField(allow_blank=True)
    done = serializers.DictField(help_text="Rows written or read so far, or places that were erased")
    total = serializers.IntegerField(allow_null=True, help_text="Rows there are")
    waiting_for = serializers.DictField(help_text="By place: what is away and will be asked again")
    error = serializers.CharField(allow_blank=True)
    requested_at = serializers.DateTimeField()
    grace_until = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    status_url = serializers.CharField()


class RequestsQuery(PageQuery):
    kind = serializers.ChoiceField(RequestKind.choices, default="", allow_blank=True)
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator: of this tenant")


class DataRequestView(ManagementView):
    def identity(self, asked: dict[str, Any]) -> Identity:
        """Raises PermissionDenied, NotFound and ValidationError."""
        user = user_of(self.request)
        is_in_charge = self.asker.is_in_charge
        scope = asked.get("scope") or (
            TENANT if is_in_charge or asked["subject"] or asked["tenant"] else ACCOUNT
        )
        if scope == ACCOUNT:
            if asked["subject"] or asked["tenant"]:
                raise ValidationError(
                    {"scope": ["An account has no end users: leave subject and tenant out."]}
                )
            if user is None:
                raise PermissionDenied("Log in: an account is a person's.")
            return Identity(Whose.PERSON, id=user.id)
        if not is_in_charge:
            raise PermissionDenied(
                "For a tenant or its end users this takes its owner, its data-protection officer, or a key with the"
                " scope gdpr."
            )
        tenant = tenant_of(self.caller, asked["tenant"])
        if asked["subject"]:
            pseudonym = subject_pseudonym(tenant.id.hex, asked["subject"])
            return Identity(Whose.SUBJECT, tenant_id=tenant.id, subject=pseudonym)
        return Identity(Whose.TENANT, tenant_id=tenant.id)

    @property
    def asker(self) -> Asker:
        caller = caller_of(self.request)
        return Asker(self.actor, user_of(self.request), caller, sees_all=is_operator(caller))

    def find(self, request_id: UUID, *kinds: RequestKind) -> DataRequest:
        """Raises NotFound, for others' too."""
        found = find_request(self.asker, request_id, *kinds)
        if found is None:
            raise NotFound(NOT_THERE)
        return found


class Requests(DataRequestView):
    capabilities = {"GET": EITHER}

    @extend_schema(
        operation_id="list_data_requests", parameters=[RequestsQuery], responses=RequestOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """Exports, erasures and imports, newest first: those of one's own account, and of the tenant for who is in charge of
        it."""
        query = self.read_query(RequestsQuery)
        user, caller = user_of(request), caller_of(request)
        is_in_charge = self.asker.is_in_charge
        if query["tenant"] and caller is None:
            raise NotFound("There is no such tenant.")
        tenant = tenant_of(self.caller, query["tenant"]) if query["tenant"] else None
        with colony_tx("requests of a person or a tenant"):
            rows = DataRequest.objects.all()
            if query["kind"]:
                rows = rows.filter(kind=query["kind"])
            if tenant is not None or not is_operator(caller):
                own = rows.filter(person_id=user.id) if user is not None else rows.none()
                tenant_id = tenant.id if tenant else UUID(caller.tenant_id) if caller else None
                theirs = rows.filter(tenant_id=tenant_id) if is_in_charge else rows.none()
                rows = theirs if tenant else own | theirs
            found, cursor = page_of(rows, query)
        return list_response([shown(row) for row in found], cursor)


class RetryRequest(DataRequestView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": ("gdpr.export.retried", "gdpr.erasure.retried", "gdpr.import.retried")}

    @extend_schema(operation_id="retry_data_request", request=None, responses=RequestOut)
    def post(self, request: Request, request_id: UUID) -> Response:
        """Lets one that failed three times go on where it was."""
        return Response(shown(retry_request(self.find(request_id), actor=self.actor)))


def shown(found: DataRequest) -> dict[str, Any]:
    progress = found.progress or {}
    totals = progress.get("totals") or {}
    return {
        "id": str(found.id),
        "object": "data_request",
        "kind": found.kind,
        "whose": found.whose,
        "tenant_id": str(found.tenant_id) if found.tenant_id else None,
        "subject": found.subject or None,
        "state": found.state,
        "step": found.step,
        "done": _done(found, progress),
        "total": sum(totals.values()) if totals else None,
        "waiting_for": progress.get("waiting") or {},
        "error": found.error,
        "requested_at": found.requested_at,
        "grace_until": found.grace_until,
        "ended_at": found.ended_at,
        "expires_at": found.expires_at,
        "bytes": found.result.get("bytes"),
        "sha256": found.result.get("sha256"),
        "status_url": status_url(found),
    }


def status_url(found: DataRequest) -> str:
    kind = {"erasure": "delete"}.get(found.kind, found.kind)
    return f"/gdpr/{kind}/{found.id}"


def _done(found: DataRequest, progress: dict[str, Any]) -> dict[str, Any]:
    if found.kind == RequestKind.ERASURE:
        return {place: step["counts"] for place, step in (progress.get("done") or {}).items()}
    done = dict(found.result.get("rows") or progress.get("rows") or {})
    at = progress.get("at")
    if isinstance(at, dict):
        done[at["table"]] = at["rows"]
    return done
