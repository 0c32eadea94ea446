"""Who is asked next to run a task: called for the first attempt, and again for each that nobody took."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import rhai_py

from inference.domain.colony import Colony, WorkerView
from inference.domain.policy_source import Policies
from inference.domain.refusals import NoWorkers
from inference.domain.routing import Decision, route
from rbee_policy.functions import NO_FACTS, Facts
from tenants.domain.authentication import Caller


class Choice:
    """`decision` is that of the last call."""

    __slots__ = ("_caller", "_colony", "_endpoint", "_facts", "_model", "_policies", "_record", "decision")

    def __init__(
        self,
        colony: Colony,
        policies: Policies,
        caller: Caller,
        *,
        model: str,
        endpoint: str,
        record: rhai_py.Record,
        facts: Facts = NO_FACTS,
    ) -> None:
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
        if not offered:
            raise NoWorkers(
                self._model, is_loading=self._colony.is_loading(self._model), is_busy=bool(self._busy())
            )
        try:
            worker, self.decision = self._route(offered)
        except NoWorkers:
            if self._would_wait(offered):
                raise NoWorkers(self._model, is_busy=True) from None
            raise
        return worker

    def _route(self, offered: list[WorkerView]) -> tuple[WorkerView, Decision]:
        return route(
            self._policies, self._caller.tenant_id, self._record, self._model, offered, facts=self._facts
        )

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


def may_serve(worker: WorkerView, caller: Caller) -> bool:
    """What no script can widen: the customer's region and GPU classes, and workers that are somebody else's."""
    return (
        in_region(worker.region, caller.region)
        and _owner(worker) in {"", caller.tenant_slug}
        and (not caller.gpu_classes or worker.fields["gpu_type"] in caller.gpu_classes)
    )


@lru_cache(maxsize=4096)
def may_use(allowed_models: tuple[str, ...], model_name: str) -> bool:
    """`allowed_models`: globs; none allow all."""
    return not allowed_models or any(fnmatchcase(model_name, glob) for glob in allowed_models)


def in_region(place: str, region: str) -> bool:
    """`EU/Netherlands` is in `EU`; every place is in the empty region."""
    return not region or place == region or place.startswith(f"{region}/")


def _owner(worker: WorkerView) -> str:
    """The tenant that the operator dedicated its hive to, by the label `dedicated_to`."""
    return str(worker.fields["dedicated_to"])
