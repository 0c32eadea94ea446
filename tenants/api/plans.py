from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, PageQuery, deleted_response, list_response, page_of
from tenants.api.fields import GpuClasses, ModelGlobs, Quantities, Region, Slug
from tenants.domain import plans
from tenants.models import Plan
from tenants.rules import Capability

INT_MAX, BIGINT_MAX = 2**31 - 1, 2**53 - 1


class PlanOut(serializers.ModelSerializer[Plan]):
    object = serializers.CharField(default="plan", read_only=True)

    class Meta:
        model = Plan
        fields = ["id", "object", "slug", *plans.FIELDS]


class PlanChange(serializers.Serializer[Any]):
    """A limit that is null is no limit; an empty list of models or GPU classes is all of them."""

    name = serializers.CharField(max_length=100, required=False)
    tier = Slug(required=False, help_text="What scripts compare as task.customer_tier")
    requests_per_minute = serializers.IntegerField(
        min_value=0, max_value=INT_MAX, required=False, allow_null=True
    )
    tokens_per_minute = serializers.IntegerField(
        min_value=0, max_value=INT_MAX, required=False, allow_null=True
    )
    tokens_per_day = serializers.IntegerField(
        min_value=0, max_value=BIGINT_MAX, required=False, allow_null=True
    )
    concurrent_tasks = serializers.IntegerField(
        min_value=0, max_value=INT_MAX, required=False, allow_null=True
    )
    quantities = Quantities(required=False)
    allowed_models = ModelGlobs(required=False)
    gpu_classes = GpuClasses(required=False)
    region = Region(required=False)


class NewPlan(PlanChange):
    slug = Slug()


class Plans(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}

    @extend_schema(operation_id="list_plans", parameters=[PageQuery], responses=PlanOut(many=True))
    def get(self, request: Request) -> Response:
        found, cursor = page_of(Plan.objects.all(), self.read_query(PageQuery))
        return list_response([dict(PlanOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_plan", request=NewPlan, responses={201: PlanOut})
    def post(self, request: Request) -> Response:
        plan = plans.create_plan(**self.read_body(NewPlan), actor=self.actor)
        return Response(PlanOut(plan).data, status.HTTP_201_CREATED)


class OnePlan(ManagementView):
    capabilities = {
        "GET": Capability.COLONY_READ,
        "PATCH": Capability.COLONY_WRITE,
        "DELETE": Capability.COLONY_WRITE,
    }

    @extend_schema(operation_id="get_plan", responses=PlanOut)
    def get(self, request: Request, slug: str) -> Response:
        return Response(PlanOut(self.found(slug)).data)

    @extend_schema(operation_id="update_plan", request=PlanChange, responses=PlanOut)
    def patch(self, request: Request, slug: str) -> Response:
        """Holds for its tenants within a second."""
        plan = self.found(slug)
        return Response(PlanOut(plans.update_plan(plan, self.read_body(PlanChange), actor=self.actor)).data)

    @extend_schema(operation_id="delete_plan", responses={200: None})
    def delete(self, request: Request, slug: str) -> Response:
        plans.delete_plan(self.found(slug), actor=self.actor)
        return deleted_response("plan", slug)

    def found(self, slug: str) -> Plan:
        plan = Plan.objects.filter(slug=slug).first()
        if plan is None:
            raise NotFound("There is no such plan.")
        return plan
