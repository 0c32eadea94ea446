from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.audit import record
from gdpr.domain.audit_details import details_of
from gdpr.domain.audit_log import Wanted, find_entries, find_entry
from gdpr.models import AuditEntry
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.tenancy import find_tenant, scope_of
from tenants.domain.rights import may_see_details
from tenants.models import Tenant
from tenants.rules import Capability


class AuditFilter(serializers.Serializer[Any]):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )
    event = serializers.CharField(
        default="", allow_blank=True, max_length=1000,
        help_text="Names, or beginnings such as key.*, with commas between; left out: all but those of tasks",
    )  # fmt: skip
    actor = serializers.CharField(
        default="", allow_blank=True, max_length=200, help_text="As entries have it: key:KID, user:ID"
    )
    about = serializers.CharField(
        default="", allow_blank=True, max_length=200, help_text="As entries have it: key:KID, project:ID"
    )
    project = serializers.UUIDField(required=False, help_text="It and what belongs to it")
    outcome = serializers.CharField(default="", allow_blank=True, max_length=50)
    request_id = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=200,
        help_text="As the header x-request-id of an answer says it",
    )
    since = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z")
    until = serializers.DateTimeField(required=False, help_text="Excluded")


class AuditQuery(AuditFilter, PageQuery):
    pass


class AuditEntryOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="audit_entry")
    tenant = serializers.CharField(allow_null=True, help_text="null: of the colony itself")
    event = serializers.CharField()
    actor = serializers.CharField()
    about = serializers.CharField(allow_blank=True)
    outcome = serializers.CharField()
    details = serializers.DictField()
    request_id = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class AuditLog(ManagementView):
    capabilities = {"GET": Capability.AUDIT_READ}

    @extend_schema(
        operation_id="list_audit_entries", parameters=[AuditQuery], responses=AuditEntryOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """Who did what, newest first. What tasks came to is in here only when `event` names it: task.*"""
        query = self.read_query(AuditQuery)
        with scope_of(self.caller, "list of audit entries"):
            found, cursor = page_of(chosen(query), query)
            slugs = dict(
                Tenant.objects.filter(id__in={row.tenant_id for row in found}).values_list("id", "slug")
            )
        return list_response([_row(row, slugs) for row in found], cursor)


class DetailsQuery(serializers.Serializer[Any]):
    details = serializers.BooleanField(
        default=False, help_text="What is kept apart of it; that you look is recorded"
    )


class DetailOut(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="source, contact or reason")
    state = serializers.CharField(
        help_text="kept; gone: erased, over, or about the operator's people; altered: not what the entry was signed with;"
        " lost: it could not be kept"
    )
    fields = serializers.DictField()  # type: ignore[assignment]


class OneAuditEntryOut(AuditEntryOut):
    private = DetailOut(many=True, required=False, help_text="With ?details=true")


class OneAuditEntry(ManagementView):
    capabilities = {"GET": Capability.AUDIT_READ}

    @extend_schema(operation_id="get_audit_entry", parameters=[DetailsQuery], responses=OneAuditEntryOut)
    def get(self, request: Request, entry: UUID) -> Response:
        """One entry. Its personal details are shown to owners, data-protection officers and the operator, when asked for."""
        with_details = self.read_query(DetailsQuery)["details"]
        if with_details and not may_see_details(self.caller):
            raise PermissionDenied(
                "Only the owner, a data-protection officer or the operator sees who was where."
            )
        with scope_of(self.caller, "an audit entry"):
            found = find_entry(entry)
            if found is None:
                raise NotFound("There is no such entry.")
            slugs = dict(Tenant.objects.filter(id__in=[found.tenant_id]).values_list("id", "slug"))
            row = _row(found, slugs)
            if with_details:
                record(
                    "audit.details_read",
                    actor=self.actor,
                    tenant_id=found.tenant_id,
                    object_ref=f"audit_entry:{found.id.hex}",
                )
                row["private"] = [one._asdict() for one in details_of(found)]
        return Response(row)


class AuditEntries(AuditLog):
    """The same log, beside what else the law lets a tenant ask."""

    @extend_schema(
        operation_id="search_audit_entries", parameters=[AuditQuery], responses=AuditEntryOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """Who did what, newest first. What tasks came to is in here only when `event` names it: task.*"""
        return super().get(request)


def chosen(query: Mapping[str, Any]) -> QuerySet[AuditEntry]:
    """By an AuditFilter, in the scope of its caller. Raises NotFound for a tenant that is not theirs to see."""
    wanted = Wanted(
        events=[name.strip() for name in query["event"].split(",") if name.strip()],
        actors=[query["actor"]] if query["actor"] else None,
        objects=[query["about"]] if query["about"] else None,
        projects=[query["project"].hex] if "project" in query else [],
        outcome=query["outcome"],
        request_id=query["request_id"],
        since=query.get("since"),
        until=query.get("until"),
    )
    rows = find_entries(wanted)
    return rows.filter(tenant_id=find_tenant(query["tenant"]).id) if query["tenant"] else rows


def _row(entry: AuditEntry, slugs: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "object": "audit_entry",
        "tenant": slugs.get(entry.tenant_id) if entry.tenant_id else None,
        "event": entry.event,
        "actor": entry.actor,
        "about": entry.object_ref,
        "outcome": entry.outcome,
        "details": entry.details,
        "request_id": entry.request_id,
        "at": entry.at,
    }
