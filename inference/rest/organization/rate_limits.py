"""Limits of a project as OpenAI has them. Theirs are of each model, rbee's of all models together: there is one entry,
for the model `*`. What it shows is what holds: the project's limit or its organization's, whichever is lower."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inference.rest.organization.base import ListQuery, OrganizationView, Unsupported, list_response
from inference.rest.organization.shapes import RateLimitShape
from tenants.domain.limit_shape import LevelLimits, PerPeriod
from tenants.domain.limits import limits_in_force, limits_of_target, set_limits
from tenants.models import Project
from tenants.rules import Capability

RATE_LIMIT_ID = "rl-all-models"
ALL_MODELS = "*"
PER_DAY = "max_requests_per_1_day"
RATES = {"max_requests_per_1_minute": "requests_per_minute", "max_tokens_per_1_minute": "tokens_per_minute"}
OTHERS = "Quantities of other units are a project's by /api/v1/limits/project/…"


class RateLimitQuery(ListQuery):
    before = serializers.CharField(required=False, max_length=128)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=100)


class RateLimitChange(serializers.Serializer[Any]):
    max_requests_per_1_minute = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    max_tokens_per_1_minute = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    max_requests_per_1_day = serializers.IntegerField(required=False, min_value=0, max_value=2**53 - 1)
    max_images_per_1_minute = Unsupported(OTHERS)
    max_audio_megabytes_per_1_minute = Unsupported(OTHERS)
    batch_1_day_max_input_tokens = Unsupported("There are no batches here.")


class RateLimits(OrganizationView):
    capabilities = {"GET": Capability.LIMITS_READ}

    @extend_schema(
        operation_id="list_project_rate_limits",
        parameters=[RateLimitQuery],
        responses=RateLimitShape(many=True),
    )
    def get(self, request: Request, project: str) -> Response:
        query = self.read_query(RateLimitQuery)
        shown = shown_limit(self.project(project), limits_in_force(self.organization))
        is_beyond = RATE_LIMIT_ID in (query.get("after"), query.get("before"))
        return list_response([] if is_beyond else [shown], has_more=False)


class OneRateLimit(OrganizationView):
    capabilities = {"POST": Capability.LIMITS_WRITE}
    audits = {"POST": "limits.changed"}

    @extend_schema(
        operation_id="update_project_rate_limit", request=RateLimitChange, responses={200: RateLimitShape}
    )
    def post(self, request: Request, project: str, rate_limit: str) -> Response:
        """Holds within a second, for all models together. No project gets more than its organization."""
        found = self.project(project)
        if rate_limit != RATE_LIMIT_ID:
            raise NotFound("There is no such rate limit.")
        body = self.read_body(RateLimitChange)
        most = limits_in_force(self.organization)
        _refuse_more(body, most)
        change: dict[str, Any] = {RATES[name]: value for name, value in body.items() if name in RATES}
        if PER_DAY in body:
            month = limits_of_target(found).quantities.get("requests", PerPeriod()).month
            change["quantities"] = {"requests": {"day": body[PER_DAY], "month": month}}
        set_limits(found, change, actor=self.actor)
        return Response(shown_limit(self.project(project), most))


def shown_limit(project: Project, organization: LevelLimits) -> dict[str, Any]:
    """null: neither has that limit."""
    ours, theirs = _numbers(limits_of_target(project)), _numbers(organization)
    return {
        "id": RATE_LIMIT_ID,
        "object": "project.rate_limit",
        "model": ALL_MODELS,
        **{
            name: min((value for value in (ours[name], theirs[name]) if value is not None), default=None)
            for name in ours
        },
    }


def _refuse_more(body: Mapping[str, int], organization: LevelLimits) -> None:
    for name, most in _numbers(organization).items():
        if most is not None and body.get(name, 0) > most:
            raise ValidationError({name: [f"The organization's own limit is {most}."]})


def _numbers(limits: LevelLimits) -> dict[str, int | None]:
    return {
        **{name: getattr(limits, ours) for name, ours in RATES.items()},
        PER_DAY: limits.quantities.get("requests", PerPeriod()).day,
    }
