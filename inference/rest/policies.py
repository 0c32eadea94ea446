from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from inference.domain import policies
from inference.models import PolicyVersion
from inference.rest.fields import NewPolicy, PolicyOut, PolicyQuery, PolicyWithSource, RollBack
from tenants.api.base import ManagementView, list_response, page_of
from tenants.api.permissions import is_operator
from tenants.api.tenancy import find_tenant, scope_of
from tenants.rules import Capability


class PolicyView(ManagementView):
    def owner(self, tenant_slug: str) -> UUID | None:
        """None is the operator. A tenant has its own only."""
        if not is_operator(self.caller):
            with scope_of(self.caller, "owner of a policy"):
                return find_tenant(tenant_slug or self.caller.tenant_slug).id
        if not tenant_slug:
            return None
        with scope_of(self.caller, "owner of a policy"):
            return find_tenant(tenant_slug).id

    def shown(self, version: PolicyVersion) -> dict[str, Any]:
        with scope_of(self.caller, "a policy"):
            found = PolicyVersion.objects.select_related("tenant").get(id=version.id)
            return _row(found) | {"source": found.source}


class Policies(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ, "POST": Capability.POLICIES_WRITE}

    @extend_schema(operation_id="list_policies", parameters=[PolicyQuery], responses=PolicyOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(PolicyQuery)
        owner = self.owner(query["tenant"])
        with scope_of(self.caller, "list of policies"):
            rows = PolicyVersion.objects.select_related("tenant").filter(tenant=owner)
            found, cursor = page_of(rows, query)
            return list_response([_row(version) for version in found], cursor)

    @extend_schema(operation_id="create_policy", request=NewPolicy, responses={201: PolicyWithSource})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewPolicy)
        version = policies.save_version(
            source=body["source"],
            tenant_id=self.owner(body["tenant"]),
            actor=self.actor,
            activate=body["activate"],
        )
        return Response(self.shown(version), status.HTTP_201_CREATED)


class OnePolicy(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ}

    @extend_schema(operation_id="get_policy", responses=PolicyWithSource)
    def get(self, request: Request, version_id: UUID) -> Response:
        with scope_of(self.caller, "a policy"):
            return Response(self.shown(policies.version_of(version_id)))


class ActivatePolicy(PolicyView):
    capabilities = {"POST": Capability.POLICIES_WRITE}

    @extend_schema(operation_id="activate_policy", request=None, responses=PolicyWithSource)
    def post(self, request: Request, version_id: UUID) -> Response:
        with scope_of(self.caller, "a policy"):
            version = policies.version_of(version_id)
        return Response(self.shown(policies.activate_version(version, actor=self.actor)))


class RollBackPolicy(PolicyView):
    capabilities = {"POST": Capability.POLICIES_WRITE}

    @extend_schema(operation_id="roll_back_policy", request=RollBack, responses=PolicyWithSource)
    def post(self, request: Request) -> Response:
        """Puts the version in force that was before the active one."""
        owner = self.owner(self.read_body(RollBack)["tenant"])
        return Response(self.shown(policies.roll_back(owner, actor=self.actor)))


def _row(version: PolicyVersion) -> dict[str, Any]:
    return {
        "id": str(version.id),
        "object": "policy_version",
        "tenant": version.tenant.slug if version.tenant else None,
        "number": version.number,
        "status": version.status,
        "origin": version.origin,
        "sha256": version.sha256,
        "created_at": version.created_at,
        "activated_at": version.activated_at,
    }
