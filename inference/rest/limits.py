from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inference.domain.limit_report import report
from tenants.api.base import ManagementView, list_response
from tenants.api.etags import tagged, unchanged
from tenants.api.fields import LimitsFields
from tenants.api.keys import find_key
from tenants.api.permissions import is_operator
from tenants.api.tenancy import find_tenant, scope_of
from tenants.domain.limit_shape import RATES, LevelLimits, LimitsRefused, read_limits
from tenants.domain.limits import limits_of_target, set_limits, shown_limits
from tenants.models import Project
from tenants.rules import Capability

NOTHING: Mapping[str, Any] = {**dict.fromkeys(RATES), "quantities": None, "spend_micros": None, "soft": False}


class LimitOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="limit")
    level = serializers.ChoiceField(["tenant", "project", "key", "subject"])
    limit = serializers.CharField(help_text="Such as tokens_per_day")
    unit = serializers.CharField()
    period = serializers.ChoiceField(["minute", "day", "month"], allow_null=True)
    allowed = serializers.IntegerField()
    used = serializers.IntegerField(help_text="What running tasks may use included")
    remaining = serializers.IntegerField()
    resets_in_s = serializers.IntegerField()
    soft = serializers.BooleanField()


class Limits(ManagementView):
    capabilities = {"GET": Capability.LIMITS_READ}

    @extend_schema(operation_id="list_limits", responses=LimitOut(many=True))
    def get(self, request: Request) -> Response:
        """What applies to the caller's key, and how much of it is used."""
        return list_response(report(self.caller))


class OneTarget(ManagementView):
    has_etag = True
    capabilities = {
        "GET": Capability.LIMITS_READ,
        "PUT": Capability.LIMITS_WRITE,
        "PATCH": Capability.LIMITS_WRITE,
    }
    audits = {"PUT": "limits.changed", "PATCH": "limits.changed"}

    @extend_schema(operation_id="get_limits", responses=LimitsFields)
    def get(self, request: Request, kind: str, name: str) -> Response:
        return tagged(self._read(kind, name))

    @extend_schema(operation_id="replace_limits", request=LimitsFields, responses=LimitsFields)
    def put(self, request: Request, kind: str, name: str) -> Response:
        """A limit that is left out is taken away."""
        return self._set(kind, name, {**NOTHING, **dict(request.data)})

    @extend_schema(operation_id="change_limits", request=LimitsFields, responses=LimitsFields)
    def patch(self, request: Request, kind: str, name: str) -> Response:
        """A limit that is left out stays as it is; null takes it away."""
        return self._set(kind, name, dict(request.data))

    def _set(self, kind: str, name: str, change: Mapping[str, Any]) -> Response:
        with scope_of(self.caller, "limits"):
            target = self._find(kind, name)
        if kind == "tenant" and not is_operator(self.caller):
            raise PermissionDenied("What a tenant may use is the operator's to say.")
        scope = scope_of(self.caller, "limits, if unchanged")
        try:
            with unchanged(self.request, scope, target, lambda _: self._read(kind, name)):
                limits = set_limits(target, change, actor=self.actor, of_subjects=kind == "subject")
        except LimitsRefused as error:
            raise ValidationError({error.param: [str(error)]}) from None
        return tagged(_shown(kind, limits))

    def _read(self, kind: str, name: str) -> dict[str, Any]:
        with scope_of(self.caller, "limits"):
            target = self._find(kind, name)
            limits = read_limits(target.subject_limits) if kind == "subject" else limits_of_target(target)
        return _shown(kind, limits)

    def _find(self, kind: str, name: str) -> Any:
        """A tenant by its slug, also for its end users; a project by its identifier, a key by that or its kid."""
        if kind in ("tenant", "subject"):
            return find_tenant(name)
        return find_key(name) if kind == "key" else _project(name)


def _project(project_id: str) -> Project:
    try:
        return Project.objects.get(id=UUID(project_id))
    except (ValueError, Project.DoesNotExist):
        raise NotFound("There is no such project.") from None


def _shown(kind: str, limits: LevelLimits) -> dict[str, Any]:
    return {"object": "limits", "level": kind, **shown_limits(limits)}
