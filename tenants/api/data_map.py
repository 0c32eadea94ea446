"""What is made from the data map: the record of processing, the schema of exports, the plan of an erasure, retention."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.activities import Party
from gdpr.domain import retention
from gdpr.domain.erasure_plan import plan_rows
from gdpr.domain.measures import measures_in_force
from gdpr.domain.processing_record import as_csv, as_markdown, make_record, record_rows
from gdpr.export_schema import schemas
from gdpr.holding import Whose
from tenants.api.base import ManagementView, list_response
from tenants.api.permissions import is_operator
from tenants.api.sub_processors import shown_sub_processors
from tenants.rules import Capability

FORMATS = ("json", "markdown", "csv")
MEDIA = {"markdown": "text/markdown; charset=utf-8", "csv": "text/csv; charset=utf-8"}


class NamedOperator(serializers.Serializer[Any]):
    operator_name = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=200,
        help_text="In full, as the law wants it; left out: the address",
    )
    contact = serializers.CharField(
        default="", allow_blank=True, max_length=300, help_text="For data protection: name, address, e-mail"
    )

    def validate_operator_name(self, value: str) -> str:
        return value or operator_address()


class RecordQuery(NamedOperator):
    format = serializers.ChoiceField(FORMATS, default="json")


class WhoseQuery(serializers.Serializer[Any]):
    whose = serializers.ChoiceField([str(each) for each in Whose], default=str(Whose.TENANT))


class PlanRow(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    kind = serializers.CharField(help_text="table, or key in Redis")
    place = serializers.CharField()
    found_by = serializers.CharField()
    action = serializers.CharField()
    columns = serializers.ListField(
        child=serializers.CharField(), help_text="Cleared or replaced; the row stays"
    )
    kept_under = serializers.CharField(allow_blank=True)
    kept_calendar_years = serializers.IntegerField(allow_null=True)
    otherwise_kept = serializers.CharField(help_text="Without an erasure")


class RetentionRow(serializers.Serializer[Any]):
    table = serializers.CharField()
    rule = serializers.CharField()
    cutoff = serializers.DateTimeField(help_text="What is older is over")
    rows = serializers.IntegerField()
    applied_by = serializers.CharField(
        allow_blank=True, help_text="The chore that sees to it; empty: this one"
    )


class ProcessingRecord(ManagementView):
    capabilities = {"GET": (Capability.GDPR_REQUEST, Capability.COLONY_READ)}

    @extend_schema(
        operation_id="get_processing_record",
        parameters=[RecordQuery],
        responses={
            (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT, "As JSON, Markdown or CSV")
        },
    )
    def get(self, request: Request) -> Any:
        """The record of processing activities (Art. 30 GDPR). The operator gets all of it, a tenant what is done on its
        instructions."""
        query = self.read_query(RecordQuery)
        everything = is_operator(self.caller)
        if query["format"] == "csv":
            return _text(as_csv(record_rows(None if everything else Party.PROCESSOR)), "csv")
        record = make_record(
            operator=query["operator_name"],
            contact=query["contact"],
            for_tenant="" if everything else self.caller.tenant_slug,
            measures=measures_in_force(),
            sub_processors=shown_sub_processors(),
        )
        return _text(as_markdown(record), "markdown") if query["format"] == "markdown" else Response(record)


class ExportSchema(ManagementView):
    capabilities = {"GET": (Capability.GDPR_REQUEST, Capability.COLONY_READ)}

    @extend_schema(
        operation_id="get_export_schema", parameters=[WhoseQuery], responses={200: OpenApiTypes.OBJECT}
    )
    def get(self, request: Request) -> Response:
        """JSON Schema of a row of each table, as an export has it."""
        whose = Whose(self.read_query(WhoseQuery)["whose"])
        return Response({"object": "gdpr.export_schema", "whose": str(whose), "tables": schemas(whose)})


class ErasurePlan(ManagementView):
    capabilities = {"GET": (Capability.GDPR_REQUEST, Capability.COLONY_READ)}

    @extend_schema(operation_id="get_erasure_plan", parameters=[WhoseQuery], responses=PlanRow(many=True))
    def get(self, request: Request) -> Response:
        """What an erasure does, step by step, and what stays under which law. Changes nothing."""
        return list_response(plan_rows(Whose(self.read_query(WhoseQuery)["whose"])))


class Retention(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "retention.applied"}

    @extend_schema(operation_id="get_retention", responses=RetentionRow(many=True))
    def get(self, request: Request) -> Response:
        """How many rows of each table are kept longer than it says. Changes nothing."""
        return list_response([each._asdict() for each in retention.rows_over()])

    @extend_schema(operation_id="apply_retention", request=None, responses=RetentionRow(many=True))
    def post(self, request: Request) -> Response:
        """Does at once what a chore does each night."""
        return list_response([each._asdict() for each in retention.apply_retention(actor=self.actor)])


def operator_address() -> str:
    return f"the operator of {urlsplit(settings.RBEE.public_url).netloc}"


def _text(text: str, kind: str) -> HttpResponse:
    return HttpResponse(text, content_type=MEDIA[kind])
