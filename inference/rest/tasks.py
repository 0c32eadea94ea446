from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from inference.domain.explanation import explain, find_decision
from inference.enums import DecisionOutcome, LeftBecause
from inference.models import Decision
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.permissions import is_operator
from tenants.api.tenancy import find_tenant, scope_of
from tenants.rules import Capability


class TaskQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )
    outcome = serializers.ChoiceField(DecisionOutcome.choices, default="", allow_blank=True)
    model = serializers.CharField(default="", allow_blank=True, max_length=128)
    worker = serializers.CharField(default="", allow_blank=True, max_length=128, help_text="Its id")
    since = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z")
    until = serializers.DateTimeField(required=False, help_text="Left out: until now")


class TaskOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="task")
    request_id = serializers.CharField()
    tenant = serializers.CharField()
    at = serializers.DateTimeField()
    model = serializers.CharField()
    outcome = serializers.ChoiceField(DecisionOutcome.choices)
    code = serializers.CharField(help_text="Of the refusal; empty: it was routed")
    worker = serializers.CharField(help_text="That was chosen; empty: none")
    micros = serializers.IntegerField(help_text="That scripts took")


class WorkerSeen(serializers.Serializer[Any]):
    id = serializers.CharField()
    hive = serializers.CharField()
    reason = serializers.ChoiceField(
        LeftBecause.choices, allow_null=True, help_text="Why it left the list; null: it did not"
    )
    facts = serializers.DictField(
        allow_null=True, help_text="What scripts saw; null: not the caller's to know"
    )


class Broke(serializers.Serializer[Any]):
    by = serializers.ChoiceField(["operator_script", "tenant_script"])
    function = serializers.CharField(required=False)
    line = serializers.IntegerField(required=False, allow_null=True)
    column = serializers.IntegerField(required=False, allow_null=True)


class AttemptOut(serializers.Serializer[Any]):
    chosen = serializers.CharField(allow_null=True)
    micros = serializers.IntegerField()
    ended_by = serializers.CharField(allow_null=True, help_text="Whose script refused or broke")
    broke = Broke(many=True)
    workers = WorkerSeen(many=True)
    not_offered = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many host code left out, by reason, beside `workers`"
    )


class VersionRef(serializers.Serializer[Any]):
    sha256 = serializers.CharField()
    id = serializers.UUIDField(allow_null=True)
    number = serializers.IntegerField(allow_null=True)


class PoliciesOut(serializers.Serializer[Any]):
    operator = VersionRef(allow_null=True)
    tenant = VersionRef(allow_null=True)


class DecisionOut(TaskOut):
    task = serializers.DictField(help_text="What scripts saw of it; never what was asked")
    customer = serializers.DictField()
    policies = PoliciesOut()
    attempts = AttemptOut(many=True)


class Tasks(ManagementView):
    capabilities = {"GET": Capability.TASKS_READ}

    @extend_schema(operation_id="list_tasks", parameters=[TaskQuery], responses=TaskOut(many=True))
    def get(self, request: Request) -> Response:
        """What became of tasks, newest first."""
        query = self.read_query(TaskQuery)
        with scope_of(self.caller, "list of tasks"):
            rows = Decision.objects.select_related("tenant").defer("customer", "attempts")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            if query["outcome"]:
                rows = rows.filter(outcome=query["outcome"])
            if query["model"]:
                rows = rows.filter(task__model=query["model"])
            if query["worker"]:
                rows = rows.filter(worker=query["worker"])
            if since := query.get("since"):
                rows = rows.filter(at__gte=since, month__gte=since.date().replace(day=1))
            if until := query.get("until"):
                rows = rows.filter(at__lt=until, month__lte=until.date())
            found, cursor = page_of(rows, query, key="task_id")
            return list_response([_row(decision) for decision in found], cursor)


class OneDecision(ManagementView):
    capabilities = {"GET": Capability.TASKS_READ}

    @extend_schema(operation_id="get_task_decision", responses=DecisionOut)
    def get(self, request: Request, task: str) -> Response:
        """Why a task went where it went, or was refused. `task`: its id, that of its answer, or `x-request-id`."""
        with scope_of(self.caller, "decision of a task"):
            decision = find_decision(task)
            if decision is None:
                raise NotFound("There is no decision of such a task.")
            found = explain(decision, is_operator=is_operator(self.caller))
            return Response({**_row(decision), **found, "object": "task.decision"})


def _row(decision: Decision) -> dict[str, Any]:
    return {
        "id": str(decision.task_id),
        "object": "task",
        "request_id": decision.request_id,
        "tenant": decision.tenant.slug,
        "at": decision.at,
        "model": decision.task.get("model", ""),
        "outcome": decision.outcome,
        "code": decision.code,
        "worker": decision.worker,
        "micros": decision.micros,
    }
