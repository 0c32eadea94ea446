from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.domain.cost_report import cost_of_task
from billing.domain.reconciliation import NotYet
from billing.domain.task_explanation import explain_difference, explain_task
from billing.enums import DifferenceKind
from billing.reconciliation_models import Difference, Reconciliation
from gdpr.ids import month_of
from gdpr.scope import colony_tx
from inference.domain.costs import cards_of_colony
from inference.domain.explanation import find_decision
from inference.domain.reconcile import outside, reconcile_day
from inference.rest.periods import month_period
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.tenancy import scope_of
from tenants.models import Tenant
from tenants.rules import Capability

TASK_NAME: Final = re.compile(r"(?:chatcmpl-|cmpl-)?([0-9a-f]{32})")


class ReportsQuery(PageQuery):
    day = serializers.DateField(required=False, help_text="As 2027-01-31: of this day only")


class NewReport(serializers.Serializer[Any]):
    day = serializers.DateField(required=False, help_text="Left out: yesterday")


class ReportOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="reconciliation")
    day = serializers.DateField()
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    differences = serializers.IntegerField(help_text="0: the books agree")
    figures = serializers.DictField(child=serializers.IntegerField(), help_text="How much was compared")
    waiting = serializers.DictField(
        help_text="By hive: receipts in its spool that are `waiting` or were `refused`; `away`: nobody knows"
    )


class DifferenceOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="difference")
    kind = serializers.ChoiceField(DifferenceKind.choices)
    tenant = serializers.CharField(allow_null=True)
    task = serializers.UUIDField(allow_null=True)
    object_ref = serializers.CharField()
    expected = serializers.CharField()
    found = serializers.CharField()


class WholeReportOut(ReportOut):
    rows = DifferenceOut(many=True, help_text="The first 1000")


class ExplanationOut(serializers.Serializer[Any]):
    task = serializers.UUIDField()
    object = serializers.CharField(default="task.explanation")
    tenant = serializers.UUIDField()
    event = serializers.DictField(allow_null=True)
    receipt = serializers.DictField(required=False, allow_null=True)
    receipt_erased = serializers.BooleanField(
        required=False, help_text="There was one until its end user was erased"
    )
    price = serializers.DictField(required=False, allow_null=True)
    arithmetic = serializers.ListField(child=serializers.CharField(), required=False)
    transfers = serializers.ListField(child=serializers.DictField())
    invoices = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="That state its month, if any does yet"
    )
    differences = serializers.ListField(child=serializers.DictField(), required=False)
    cost = serializers.DictField(
        required=False, allow_null=True, help_text="For the operator who asks: its share of its GPUs' month"
    )


class ExplanationQuery(serializers.Serializer[Any]):
    cost = serializers.BooleanField(
        default=False, help_text="For the operator: what it cost too, which reads its hive's month"
    )


class ExplainedDifference(DifferenceOut):
    day = serializers.DateField()
    explanation = serializers.DictField(required=False, allow_null=True)
    by_kind = serializers.ListField(child=serializers.DictField(), required=False)
    tasks = serializers.ListField(child=serializers.DictField(), required=False)
    tasks_are_all = serializers.BooleanField(
        required=False, help_text="false: too many to be compared anew; those that reports have found"
    )
    payments = serializers.ListField(child=serializers.DictField(), required=False)
    transfers = serializers.ListField(child=serializers.DictField(), required=False)


class Reports(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "books.reconciled"}

    @extend_schema(
        operation_id="list_reconciliations", parameters=[ReportsQuery], responses=ReportOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """Comparisons of the books, newest first."""
        query = self.read_query(ReportsQuery)
        rows = Reconciliation.objects.all()
        if day := query.get("day"):
            rows = rows.filter(day=day)
        found, cursor = page_of(rows, query)
        return list_response([_report(row) for row in found], cursor)

    @extend_schema(operation_id="reconcile", request=NewReport, responses={201: WholeReportOut})
    def post(self, request: Request) -> Response:
        """Compares the books of a day. It is kept also when whoever asked is gone before it is done."""
        day = self.read_body(NewReport).get("day") or datetime.now(UTC).date() - timedelta(days=1)
        try:
            report = reconcile_day(day, actor=self.actor)
        except NotYet as error:
            raise ValidationError({"day": [str(error)]}) from None
        return Response(_whole(report), status.HTTP_201_CREATED)


class OneReport(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_reconciliation", responses=WholeReportOut)
    def get(self, request: Request, report: UUID) -> Response:
        found = Reconciliation.objects.filter(id=report).first()
        if found is None:
            raise NotFound("There is no such reconciliation.")
        return Response(_whole(found))


class OneDifference(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="explain_difference", responses=ExplainedDifference)
    def get(self, request: Request, difference: UUID) -> Response:
        """Where it comes from, down to the tasks or the payments."""
        with colony_tx("a difference"):
            found = Difference.objects.select_related("reconciliation").filter(id=difference).first()
            if found is None:
                raise NotFound("There is no such difference.")
            return Response({**explain_difference(found, outside()), **_difference(found, _slugs([found]))})


class TaskExplanation(ManagementView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(operation_id="explain_task_cost", parameters=[ExplanationQuery], responses=ExplanationOut)
    def get(self, request: Request, task: str) -> Response:
        """Why a task cost what it cost: receipt, usage, price and arithmetic, and where the money went. `task`: its id,
        that of its answer, or `x-request-id`."""
        with_cost = self.read_query(ExplanationQuery)["cost"]
        if with_cost:
            self.require(Capability.COLONY_READ)
        with scope_of(self.caller, "cost of a task"):
            task_id = _task_of(task)
            found = explain_task(task_id, outside()) if task_id else None
            if found is None:
                raise NotFound("There is no such task in the books.")
            assert task_id is not None
            if with_cost and found["event"] and found["event"]["hive"]:
                hive_id, month = UUID(hex=found["event"]["hive"]), month_period(month_of(task_id))
                found["cost"] = cost_of_task(task_id, month, cards_of_colony(), hive_id)
            return Response({"object": "task.explanation", **found})


def _task_of(name: str) -> UUID | None:
    if found := TASK_NAME.fullmatch(name.lower()) or TASK_NAME.fullmatch(name.lower().replace("-", "")):
        return UUID(hex=found[1])
    decision = find_decision(name)
    return decision.task_id if decision else None


def _report(report: Reconciliation) -> dict[str, Any]:
    return {
        "id": str(report.id),
        "object": "reconciliation",
        "day": report.day,
        "began_at": report.began_at,
        "ended_at": report.ended_at,
        "differences": report.differences,
        "figures": report.figures,
        "waiting": report.waiting,
    }


def _whole(report: Reconciliation) -> dict[str, Any]:
    with colony_tx("a reconciliation"):
        rows = list(Difference.objects.filter(reconciliation=report))
        slugs = _slugs(rows)
    return _report(report) | {"rows": [_difference(row, slugs) for row in rows]}


def _slugs(rows: list[Difference]) -> dict[UUID, str]:
    ids = {row.tenant_id for row in rows if row.tenant_id}
    return dict(Tenant.objects.filter(id__in=ids).values_list("id", "slug"))


def _difference(row: Difference, slugs: dict[UUID, str]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "object": "difference",
        "kind": row.kind,
        "tenant": slugs.get(row.tenant_id) if row.tenant_id else None,
        "task": str(row.task_id) if row.task_id else None,
        "object_ref": row.object_ref,
        "expected": row.expected,
        "found": row.found,
    }
