from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import colony_tx
from tenants.api.base import ManagementView, PageQuery, deleted_response, list_response, page_of
from tenants.api.etags import tagged, unchanged
from tenants.api.fields import GpuClasses, LimitsFields, ModelGlobs, Purposes, Region, Slug
from tenants.domain import plans
from tenants.domain.limits import limits_of_target, shown_limits
from tenants.models import Plan
from tenants.rules import Capability


class PlanOut(LimitsFields):
    object = serializers.CharField(default="plan")
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    tier = serializers.CharField()
    allowed_models = ModelGlobs()
    gpu_classes = GpuClasses()
    region = Region()
    required_consents = Purposes()

    def to_representation(self, plan: Plan) -> dict[str, Any]:
        fields = {name: getattr(plan, name) for name in ("slug", *plans.FIELDS)}
        return {"id": str(plan.id), "object": "plan", **fields, **shown_limits(limits_of_target(plan))}


class PlanChange(LimitsFields):
    """A limit that is null is no limit; an empty list of models or GPU classes is all of them."""

    name = serializers.CharField(max_length=100, required=False)
    tier = Slug(required=False, help_text="What scripts compare as task.customer_tier")
    allowed_models = ModelGlobs(required=False)
    gpu_classes = GpuClasses(required=False)
    region = Region(required=False)
    required_consents = Purposes(
        required=False, help_text="Purposes that its tenants must have agreed to: /gdpr/consents"
    )


class NewPlan(PlanChange):
    slug = Slug()


class PlanView(ManagementView):
    def read_plan(self, serializer: type[PlanChange]) -> dict[str, Any]:
        """Limits as they came: `tenants.domain.limit_shape` is stricter than a serializer."""
        body = self.read_body(serializer)
        return body | {name: value for name, value in dict(self.request.data).items() if name in plans.LIMITS}


class Plans(PlanView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "plan.created"}

    @extend_schema(operation_id="list_plans", parameters=[PageQuery], responses=PlanOut(many=True))
    def get(self, request: Request) -> Response:
        found, cursor = page_of(Plan.objects.all(), self.read_query(PageQuery))
        return list_response([dict(PlanOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_plan", request=NewPlan, responses={201: PlanOut})
    def post(self, request: Request) -> Response:
        plan = plans.create_plan(**self.read_plan(NewPlan), actor=self.actor)
        return Response(PlanOut(plan).data, status.HTTP_201_CREATED)


class OnePlan(PlanView):
    has_etag = True
    capabilities = {
        "GET": Capability.COLONY_READ,
        "PATCH": Capability.COLONY_WRITE,
        "DELETE": Capability.COLONY_WRITE,
    }
    audits = {"PATCH": "plan.changed", "DELETE": "plan.deleted"}

    @extend_schema(operation_id="get_plan", responses=PlanOut)
    def get(self, request: Request, slug: str) -> Response:
        return tagged(self.shown(slug))

    @extend_schema(operation_id="update_plan", request=PlanChange, responses=PlanOut)
    def patch(self, request: Request, slug: str) -> Response:
        """Holds for its tenants within a second."""
        plan = self.found(slug)
        body = self.read_plan(PlanChange)
        with unchanged(request, colony_tx("plan, if unchanged"), plan, lambda row: self.shown(row.slug)):
            plans.update_plan(plan, body, actor=self.actor)
        return tagged(self.shown(slug))

    @extend_schema(operation_id="delete_plan", responses={200: None})
    def delete(self, request: Request, slug: str) -> Response:
        plans.delete_plan(self.found(slug), actor=self.actor)
        return deleted_response("plan", slug)

    def shown(self, slug: str) -> Any:
        return PlanOut(self.found(slug)).data

    def found(self, slug: str) -> Plan:
        plan = Plan.objects.filter(slug=slug).first()
        if plan is None:
            raise NotFound("There is no such plan.")
        return plan
