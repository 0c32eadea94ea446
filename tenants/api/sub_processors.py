from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.sub_processors import SubProcessor, SubProcessorObjection
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.tenancy import scope_of
from tenants.domain import sub_processors
from tenants.domain.authentication import Caller
from tenants.models import Tenant
from tenants.rules import Capability

FIELDS = ("name", "purpose", "country", "categories", "url")


class SubProcessorOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="sub_processor")
    id = serializers.UUIDField()
    name = serializers.CharField()
    purpose = serializers.CharField()
    country = serializers.CharField()
    categories = serializers.CharField()
    url = serializers.CharField(allow_blank=True)
    state = serializers.CharField(help_text="announced, in force, ending or ended")
    announced_at = serializers.DateTimeField()
    in_force_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    objections = serializers.ListField(
        child=serializers.DictField(), help_text="Your own; the operator sees all: tenant, reason, made_at"
    )


class NewSubProcessor(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    purpose = serializers.CharField(max_length=500)
    country = serializers.RegexField("^[A-Z]{2}$", help_text="ISO 3166-1, where it processes: DE")
    categories = serializers.CharField(max_length=500, help_text="Of data that it gets")
    url = serializers.URLField(max_length=500, default="", allow_blank=True)
    notice_days = serializers.IntegerField(
        min_value=0,
        max_value=365,
        default=sub_processors.NOTICE_DAYS,
        help_text="From now until it is in force",
    )


class SubProcessorEnd(serializers.Serializer[Any]):
    notice_days = serializers.IntegerField(min_value=0, max_value=365, default=0)


class NewObjection(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=1000)


class SubProcessors(ManagementView):
    capabilities = {"GET": Capability.TENANT_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "subprocessor.announced"}

    @extend_schema(
        operation_id="list_sub_processors", parameters=[PageQuery], responses=SubProcessorOut(many=True)
    )
    def get(self, request: Request) -> Response:
        found, cursor = page_of(SubProcessor.objects.all(), self.read_query(PageQuery))
        return list_response(_shown(found, self.caller), cursor)

    @extend_schema(
        operation_id="announce_sub_processor", request=NewSubProcessor, responses={201: SubProcessorOut}
    )
    def post(self, request: Request) -> Response:
        """Every tenant is told by webhook, and by e-mail to owner, administrators and data-protection officer."""
        body = self.read_body(NewSubProcessor)
        added = sub_processors.announce_sub_processor(
            {name: body[name] for name in FIELDS}, notice_days=body["notice_days"], actor=self.actor
        )
        return Response(_shown([added], self.caller)[0], status.HTTP_201_CREATED)


class OneSubProcessor(ManagementView):
    capabilities = {"GET": Capability.TENANT_READ, "DELETE": Capability.COLONY_WRITE}
    audits = {"DELETE": "subprocessor.ending"}

    @extend_schema(operation_id="get_sub_processor", responses=SubProcessorOut)
    def get(self, request: Request, sub_processor: UUID) -> Response:
        return Response(_shown([_found(sub_processor)], self.caller)[0])

    @extend_schema(
        operation_id="end_sub_processor", request=SubProcessorEnd, responses={200: SubProcessorOut}
    )
    def delete(self, request: Request, sub_processor: UUID) -> Response:
        """It stays in the list, as ended. Every tenant is told."""
        days = self.read_body(SubProcessorEnd)["notice_days"]
        ending = sub_processors.end_sub_processor(
            _found(sub_processor).id, notice_days=days, actor=self.actor
        )
        return Response(_shown([ending], self.caller)[0])


class Objection(ManagementView):
    capabilities = {"POST": Capability.GDPR_REQUEST}
    audits = {"POST": "subprocessor.objected"}

    @extend_schema(
        operation_id="object_to_sub_processor", request=NewObjection, responses={201: SubProcessorOut}
    )
    def post(self, request: Request, sub_processor: UUID) -> Response:
        """Until it is in force. The operator is alerted; what follows is for the contract to say."""
        wanted = _found(sub_processor)
        sub_processors.object_to_sub_processor(
            UUID(self.caller.tenant_id),
            wanted.id,
            reason=self.read_body(NewObjection)["reason"],
            actor=self.actor,
        )
        return Response(_shown([wanted], self.caller)[0], status.HTTP_201_CREATED)


def shown_sub_processors() -> list[dict[str, Any]]:
    """For documents."""
    return [
        {
            "name": one.name,
            "country": one.country,
            "purpose": one.purpose,
            "categories": one.categories,
            "state": _state_in_words(one),
        }
        for one in SubProcessor.objects.order_by("name")
    ]


def _state_in_words(one: SubProcessor) -> str:
    state = sub_processors.state_of(one)
    if state == "announced":
        return f"from {one.in_force_at:%Y-%m-%d} on"
    if state == "ending" and one.ends_at is not None:
        return f"until {one.ends_at:%Y-%m-%d}"
    return state


def _found(sub_processor_id: UUID) -> SubProcessor:
    one = SubProcessor.objects.filter(id=sub_processor_id).first()
    if one is None:
        raise NotFound("There is no such sub-processor.")
    return one


def _shown(rows: list[SubProcessor], caller: Caller) -> list[dict[str, Any]]:
    with scope_of(caller, "objections to sub-processors"):
        made = list(SubProcessorObjection.objects.filter(sub_processor__in=rows).order_by("id"))
        slugs = dict(Tenant.objects.filter(id__in={one.tenant_id for one in made}).values_list("id", "slug"))
    return [_row(row, [one for one in made if one.sub_processor_id == row.id], slugs) for row in rows]


def _row(row: SubProcessor, made: list[SubProcessorObjection], slugs: Mapping[UUID, str]) -> dict[str, Any]:
    dates = {name: getattr(row, name) for name in ("announced_at", "in_force_at", "ends_at")}
    objections = [
        {"tenant": slugs.get(one.tenant_id), "reason": one.reason, "made_at": one.made_at.isoformat()}
        for one in made
    ]
    named = {name: getattr(row, name) for name in FIELDS}
    state = sub_processors.state_of(row)
    return dict(
        SubProcessorOut({"id": row.id, "state": state, **named, **dates, "objections": objections}).data
    )
