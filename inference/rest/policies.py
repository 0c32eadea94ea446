from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.duties import unrecorded
from gdpr.models import AuditEntry
from inference.domain import policies
from inference.domain.dry_run import dry_run
from inference.domain.errors import InvalidInput
from inference.domain.policy_history import diff_of, in_force_of, story_of, version_before
from inference.enums import OnError, VersionStatus
from inference.models import PolicyVersion
from inference.rest.policy_fields import (
    Activate,
    DiffOut,
    DiffQuery,
    DryRun,
    DryRunOfSource,
    DryRunOut,
    LogEntryOut,
    LogQuery,
    NewPolicy,
    OwnerQuery,
    PolicyOut,
    PolicyQuery,
    PolicySettings,
    PolicyWithSource,
    RollBack,
    SavedPolicy,
    SettingsOut,
)
from rbee_policy.problems import Invalid
from rbee_policy.rules import script_of_rules
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
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

    def version(self, version_id: UUID) -> PolicyVersion:
        with scope_of(self.caller, "a policy"):
            return policies.version_of(version_id)

    def shown(self, version: PolicyVersion) -> dict[str, Any]:
        with scope_of(self.caller, "a policy"):
            found = PolicyVersion.objects.select_related("tenant").get(id=version.id)
            return _row(found) | {"source": found.source, "rules": found.rules}

    def operator_only(self) -> None:
        if not is_operator(self.caller):
            raise PermissionDenied("Only the operator says what an error of a policy means.")


class Policies(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ, "POST": Capability.POLICIES_WRITE}
    audits = {"POST": "policy.saved"}

    @extend_schema(operation_id="list_policies", parameters=[PolicyQuery], responses=PolicyOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(PolicyQuery)
        owner = self.owner(query["tenant"])
        with scope_of(self.caller, "list of policies"):
            rows = PolicyVersion.objects.select_related("tenant").filter(tenant=owner)
            if "number" in query:
                rows = rows.filter(number=query["number"])
            found, cursor = page_of(rows, query)
            return list_response([_row(version) for version in found], cursor)

    @extend_schema(operation_id="create_policy", request=NewPolicy, responses={201: SavedPolicy})
    def post(self, request: Request) -> Response:
        """Tries the script, and keeps it as a version. One that crashes what tries it is kept too, disabled."""
        body = self.read_body(NewPolicy)
        if "on_error" in body:
            self.operator_only()
        version, findings = policies.save_version(
            source=_script_of(body),
            rules=body.get("rules", ""),
            comment=body["comment"],
            tenant_id=self.owner(body["tenant"]),
            actor=self.actor,
            activate=body["activate"],
            on_error=body.get("on_error"),
            expected_active=body.get("expected_active"),
        )
        return Response(self.shown(version) | {"findings": list(findings)}, status.HTTP_201_CREATED)


class Settings(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ, "PATCH": Capability.COLONY_WRITE}
    audits = {"PATCH": "policy.changed"}

    @extend_schema(operation_id="get_policy_settings", parameters=[OwnerQuery], responses=SettingsOut)
    def get(self, request: Request) -> Response:
        """Which script is in force, where it comes from, and what an error of it means."""
        return self._shown(self.read_query(OwnerQuery)["tenant"])

    @extend_schema(operation_id="change_policy_settings", request=PolicySettings, responses=SettingsOut)
    def patch(self, request: Request) -> Response:
        self.operator_only()
        body = self.read_body(PolicySettings)
        policies.set_on_error(self.owner(body["tenant"]), body["on_error"], actor=self.actor)
        return self._shown(body["tenant"])

    def _shown(self, tenant: str) -> Response:
        owner = self.owner(tenant)
        found = in_force_of(owner)
        return Response(
            {
                "object": "policy",
                "tenant": None if owner is None else tenant or self.caller.tenant_slug,
                "origin": found.origin if found else "none",
                "file": str(settings.RBEE.scheduler_file) if found and found.origin == "file" else None,
                "number": found.version.number if found and found.version else None,
                "sha256": policies.sha256_of(found.source) if found and found.source else None,
                "on_error": found.on_error if found else OnError.REFUSE,
            }
        )


class OnePolicy(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ}

    @extend_schema(operation_id="get_policy", responses=PolicyWithSource)
    def get(self, request: Request, version_id: UUID) -> Response:
        return Response(self.shown(self.version(version_id)))


class ActivatePolicy(PolicyView):
    capabilities = {"POST": Capability.POLICIES_WRITE}
    audits = {"POST": "policy.activated"}

    @extend_schema(operation_id="activate_policy", request=Activate, responses=PolicyWithSource)
    def post(self, request: Request, version_id: UUID) -> Response:
        expected = self.read_body(Activate).get("expected_active")
        version = self.version(version_id)
        version = policies.activate_version(version, actor=self.actor, expected_active=expected)
        return Response(self.shown(version))


class RollBackPolicy(PolicyView):
    capabilities = {"POST": Capability.POLICIES_WRITE}
    audits = {"POST": ("policy.activated", "policy.deactivated")}

    @extend_schema(
        operation_id="roll_back_policy", request=RollBack, responses={200: PolicyWithSource, 204: None}
    )
    def post(self, request: Request) -> Response:
        """Puts the version in force that was before the active one. Again: the one before that. 204 when there was none:
        the default decides."""
        body = self.read_body(RollBack)
        owner, expected = self.owner(body["tenant"]), body.get("expected_active")
        before = policies.roll_back(owner, actor=self.actor, expected_active=expected)
        return Response(status=204) if before is None else Response(self.shown(before))


class DryRunPolicy(PolicyView):
    capabilities = {"POST": Capability.POLICIES_WRITE}
    audits = {"POST": unrecorded("a dry run decides over the past, and changes nothing")}

    @extend_schema(operation_id="dry_run_policy", request=DryRun, responses=DryRunOut)
    def post(self, request: Request, version_id: UUID) -> Response:
        """What this version would have made of the last decisions, beside what the one in force makes of them."""
        body = self.read_body(DryRun)
        version = self.version(version_id)
        found = dry_run(
            tenant_id=version.tenant_id, source=version.source, last=body["last"], version=version
        )
        return Response(found)


class DryRunSource(PolicyView):
    capabilities = {"POST": Capability.POLICIES_WRITE}
    audits = {"POST": unrecorded("a dry run decides over the past, and changes nothing")}

    @extend_schema(operation_id="dry_run_source", request=DryRunOfSource, responses=DryRunOut)
    def post(self, request: Request) -> Response:
        """The same for a script that is not kept."""
        body = self.read_body(DryRunOfSource)
        found = dry_run(tenant_id=self.owner(body["tenant"]), source=_script_of(body), last=body["last"])
        return Response(found)


class PolicyDiff(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ}

    @extend_schema(operation_id="diff_policy", parameters=[DiffQuery], responses=DiffOut)
    def get(self, request: Request, version_id: UUID) -> Response:
        against = self.read_query(DiffQuery)["against"]
        with scope_of(self.caller, "difference of two policies"):
            new = policies.version_of(version_id)
            old = self._other(new, against)
            diff = diff_of(old, new)
            rows = {row.id: row for row in PolicyVersion.objects.select_related("tenant").filter(
                id__in=[version.id for version in (old, new) if version])}  # fmt: skip
        return Response(
            {
                "object": "policy_diff",
                "old": _row(rows[old.id]) if old else None,
                "new": _row(rows[new.id]),
                "diff": diff.text,
                "added": diff.added,
                "removed": diff.removed,
            }
        )

    @staticmethod
    def _other(version: PolicyVersion, against: str) -> PolicyVersion | None:
        if not against:
            return version_before(version)
        if against == "active":
            return version.policy.versions.filter(status=VersionStatus.ACTIVE).first()
        try:
            return policies.version_of(UUID(against))
        except ValueError:
            raise InvalidInput("against takes the id of a version, or active", param="against") from None


class PolicyLog(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ}

    @extend_schema(operation_id="list_policy_events", parameters=[LogQuery], responses=LogEntryOut(many=True))
    def get(self, request: Request) -> Response:
        """What was done with the policy: saved, activated, disabled, changed."""
        query = self.read_query(LogQuery)
        owner = self.owner(query["tenant"])
        with scope_of(self.caller, "log of a policy"):
            found, cursor = page_of(story_of(owner), query)
            return list_response([_event(entry) for entry in found], cursor)


class LogOfVersion(PolicyView):
    capabilities = {"GET": Capability.POLICIES_READ}

    @extend_schema(
        operation_id="list_policy_version_events", parameters=[PageQuery], responses=LogEntryOut(many=True)
    )
    def get(self, request: Request, version_id: UUID) -> Response:
        """What was done with this version."""
        query = self.read_query(PageQuery)
        with scope_of(self.caller, "log of a policy"):
            version = policies.version_of(version_id)
            found, cursor = page_of(story_of(version.tenant_id, version), query)
            return list_response([_event(entry) for entry in found], cursor)


def _script_of(body: dict[str, Any]) -> str:
    """Raises InvalidInput."""
    if "source" in body:
        return str(body["source"])
    try:
        return script_of_rules(body["rules"])
    except Invalid as invalid:
        told = "; ".join(map(str, invalid.problems[: policies.PROBLEMS_TOLD]))
        raise InvalidInput(told, param="rules", code="policy_invalid") from None


def _row(version: PolicyVersion) -> dict[str, Any]:
    return {
        "id": str(version.id),
        "object": "policy_version",
        "tenant": version.tenant.slug if version.tenant else None,
        "number": version.number,
        "status": version.status,
        "origin": version.origin,
        "sha256": version.sha256,
        "comment": version.comment,
        "author": version.author,
        "created_at": version.created_at,
        "activated_at": version.activated_at,
        "vetted_at": version.vetted_at,
        "disabled_at": version.disabled_at,
        "disabled_reason": version.disabled_reason,
    }


def _event(entry: AuditEntry) -> dict[str, Any]:
    kind, _, version = entry.object_ref.partition(":")
    return {
        "id": str(entry.id),
        "object": "policy_event",
        "event": entry.event,
        "at": entry.at,
        "actor": entry.actor,
        "version": version if kind == "policy_version" else None,
        "details": entry.details,
    }
