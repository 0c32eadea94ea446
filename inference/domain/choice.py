"""Who is asked next to run a task: called for the first attempt, and again for each that nobody took."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import rhai_py

from hive_agent.protocol import Endpoint, WorkerStatus
from inference.domain.colony import CAPABILITIES, Colony, HiveView, WorkerView
from inference.domain.eligibility import in_region, may_serve, owner_of
from inference.domain.policy_source import Policies
from inference.domain.refusals import NoEligibleRegion, NoWorkers
from inference.domain.routing import Decision, route
from inference.domain.trace import Attempt, Trace
from inference.enums import LeftBecause
from rbee_policy.functions import NO_FACTS, Facts
from tenants.domain.authentication import Caller


class Choice:
    """`decision` is that of the last call. Each call is noted in `trace`."""

    __slots__ = (
        "_caller",
        "_colony",
        "_endpoint",
        "_facts",
        "_model",
        "_policies",
        "_record",
        "_trace",
        "decision",
    )

    def __init__(
        self,
        colony: Colony,
        policies: Policies,
        caller: Caller,
        *,
        model: str,
        endpoint: str,
        record: rhai_py.Record,
        trace: Trace,
        facts: Facts = NO_FACTS,
    ) -> None:
        self._trace = trace
        self._colony = colony
        self._policies = policies
        self._caller = caller
        self._model = model
        self._endpoint = endpoint
        self._record = record
        self._facts = facts
        self.decision: Decision | None = None

    def __call__(self, tried_hives: set[str]) -> WorkerView:
        """Raises NoWorkers, Rejected and PolicyFailed."""
        offered = [
            worker
            for worker in self._colony.candidates(self._model, self._endpoint)
            if worker.hive_id not in tried_hives and may_serve(worker, self._caller)
        ]
        attempt = Attempt([worker.fields for worker in offered], self._gone(offered, tried_hives))
        self._trace.begin(attempt)
        if not offered:
            raise self._nobody()
        try:
            worker, self.decision = self._route(offered, attempt)
            self._trace.operator_sha256 = self.decision.operator
            self._trace.tenant_sha256 = self.decision.tenant
        except NoWorkers:
            if self._would_wait(offered):
                raise NoWorkers(self._model, is_busy=True) from None
            raise
        return self._checked(worker, attempt)

    def _checked(self, worker: WorkerView, attempt: Attempt) -> WorkerView:
        """What a script was offered may have changed while it ran."""
        if not may_serve(worker, self._caller):
            attempt.chosen = ""
            raise self._nobody()
        return worker

    def _route(
        self, offered: list[WorkerView], attempt: Attempt | None = None
    ) -> tuple[WorkerView, Decision]:
        return route(
            self._policies,
            self._caller.tenant_id,
            self._record,
            self._model,
            offered,
            facts=self._facts,
            attempt=attempt,
        )

    def _gone(
        self, offered: list[WorkerView], tried_hives: Collection[str]
    ) -> list[tuple[dict[str, Any], LeftBecause]]:
        """Who has the model and is not offered. Looked for only where there is such a worker."""
        everybody = self._colony.of_model(self._model)
        if len(everybody) == len(offered):
            return []
        return [
            (worker.fields, reason)
            for hive, worker in everybody
            if (reason := reason_against(hive, worker, self._caller, self._endpoint, tried_hives))
        ]

    def _nobody(self) -> NoWorkers:
        """Why there is none at the moment. What is elsewhere is no reason to wait."""
        everybody = self._colony.of_model(self._model)
        region = self._caller.region
        if region and not any(in_region(worker.region, region) for _, worker in everybody):
            return NoEligibleRegion(self._model, region)
        is_loading = any(may_serve(worker, self._caller) for worker in self._colony.loading(self._model))
        return NoWorkers(self._model, is_loading=is_loading, is_busy=bool(self._busy()))

    def _busy(self) -> list[WorkerView]:
        return [worker for worker in self._colony.busy(self._model) if may_serve(worker, self._caller)]

    def _would_wait(self, offered: list[WorkerView]) -> bool:
        """Scripts chose nobody who is free. Would they have one who is not?"""
        busy = self._busy()
        if not busy:
            return False
        try:
            self._route([*offered, *busy])
        except NoWorkers:
            return False
        return True

    def policies(self) -> list[str]:
        """SHA-256 of each script that decided, the operator's first."""
        decision = self.decision
        return [sha256 for sha256 in (decision.operator, decision.tenant) if sha256] if decision else []

    def facts(self) -> dict[str, Any]:
        decision = self.decision
        if decision is None:
            return {}
        return {"candidates": decision.candidates, "chosen": decision.chosen, "micros": decision.micros}


def reason_against(
    hive: HiveView, worker: WorkerView, caller: Caller, endpoint: str, tried_hives: Collection[str]
) -> LeftBecause | None:
    """Why host code does not offer a worker that has the model. None for what `Choice` offers: the same questions, in an
    order of their own."""
    if owner_of(worker) not in {"", caller.tenant_slug}:
        return LeftBecause.DEDICATED_TO
    if not in_region(worker.region, caller.region):
        return LeftBecause.REGION
    if caller.gpu_classes and worker.fields["gpu_type"] not in caller.gpu_classes:
        return LeftBecause.GPU_CLASS
    if worker.capability != CAPABILITIES[Endpoint(endpoint)]:
        return LeftBecause.CAPABILITY
    if hive.is_silent:
        return LeftBecause.SILENT
    if hive.is_draining:
        return LeftBecause.DRAINING
    if worker.hive_id in tried_hives:
        return LeftBecause.TRIED
    if worker.status != WorkerStatus.READY:
        return LeftBecause.NOT_READY
    return LeftBecause.FULL if worker.in_flight >= worker.capacity else None


def may_ask_for(caller: Caller, model_name: str) -> bool:
    """What the tenant may, and of that what the key may."""
    return may_use(caller.allowed_models, model_name) and may_use(caller.key_models, model_name)


@lru_cache(maxsize=4096)
def may_use(allowed_models: tuple[str, ...], model_name: str) -> bool:
    """`allowed_models`: globs; none allow all."""
    return not allowed_models or any(fnmatchcase(model_name, glob) for glob in allowed_models)
