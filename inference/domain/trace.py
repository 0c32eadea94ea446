"""What is noted of a task while it is decided: references to what there is anyway. `decision_log` makes rows of it later."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import rhai_py

from inference.domain.failures import TaskFailed
from inference.domain.policy_source import Policy
from inference.domain.records import NOTHING_USED
from inference.domain.refusals import NoWorkers, PolicyFailed, Refused, Rejected
from inference.enums import DecisionOutcome, LeftBecause
from rbee_policy.asking import ScriptBroke
from tenants.domain.authentication import Caller

Fields = Mapping[str, Any]  # of a worker, as they were: a change makes others

LIMIT_TYPES = frozenset({"rate_limit_error", "insufficient_quota"})


class HasId(Protocol):
    @property
    def id(self) -> str: ...


class Attempt:
    """One search for a worker. `kept` has, for each script that was asked, what it left."""

    __slots__ = ("broke", "by", "chosen", "gone", "kept", "micros", "offered")

    def __init__(
        self, offered: Sequence[Fields] = (), gone: Sequence[tuple[Fields, LeftBecause]] = ()
    ) -> None:
        self.offered = offered
        self.gone = gone  # what host code did not offer
        self.kept: list[tuple[LeftBecause, Sequence[HasId]]] = []
        self.broke: list[tuple[LeftBecause, ScriptBroke | None]] = []
        self.by = ""  # whose script ended it
        self.chosen = ""
        self.micros = 0


class Trace:
    """Of one task. `record` and `customer` are those that scripts were shown; where none was made, none looked."""

    __slots__ = (
        "at_ns", "attempts", "caller", "code", "customer", "operator_sha256", "outcome", "record", "request_id",
        "script_micros", "task_id", "tenant_sha256", "used",
    )  # fmt: skip

    def __init__(self, task_id: str, request_id: str, caller: Caller) -> None:
        self.task_id = task_id
        self.request_id = request_id
        self.caller = caller
        self.used = NOTHING_USED
        self.at_ns = time.time_ns()
        self.record: rhai_py.Record | None = None
        self.customer: rhai_py.Record | None = None
        self.operator_sha256 = ""
        self.tenant_sha256 = ""
        self.script_micros = 0  # of admission; of routing each attempt has its own
        self.attempts: list[Attempt] = []
        self.outcome: DecisionOutcome | None = None
        self.code = ""

    def note(self, deciders: Sequence[Policy]) -> None:
        self.operator_sha256 = deciders[0].sha256
        self.tenant_sha256 = deciders[1].sha256 if len(deciders) > 1 else ""

    def begin(self, attempt: Attempt) -> None:
        """A search that found nobody is followed by another one while a task waits: the last is kept."""
        if self.attempts and not self.attempts[-1].chosen:
            attempt.micros += self.attempts.pop().micros
        self.attempts.append(attempt)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """For clients: which worker serves, and the scripts that decided, the operator's first."""
        scripts = ", ".join(filter(None, (self.operator_sha256, self.tenant_sha256)))
        headers = [(b"x-rbee-policy", scripts.encode())] if scripts else []
        if self.outcome == DecisionOutcome.ROUTED:
            headers.append((b"x-rbee-worker", self.attempts[-1].chosen.encode()))
        return headers

    def end(self, error: BaseException | None) -> bool:
        """False: nothing was decided. A task that is over a limit, or whose client left before it had a worker, is no
        decision."""
        self.outcome = self._outcome(error)
        if self.outcome not in (None, DecisionOutcome.ROUTED) and isinstance(error, Refused | TaskFailed):
            self.code = error.code
        if isinstance(error, Rejected | PolicyFailed):
            self._blame(error)
        return self.outcome is not None

    def _blame(self, error: Rejected | PolicyFailed) -> None:
        if not self.attempts:  # in admission
            self.attempts.append(Attempt())
        attempt = self.attempts[-1]
        attempt.by = error.by
        if isinstance(error, PolicyFailed) and not attempt.broke:
            attempt.broke.append((error.by, error.broke))

    def _outcome(self, error: BaseException | None) -> DecisionOutcome | None:
        if isinstance(error, Rejected):
            return DecisionOutcome.REJECTED
        if isinstance(error, PolicyFailed):
            return DecisionOutcome.POLICY_ERROR
        if isinstance(error, NoWorkers) or (isinstance(error, TaskFailed) and error.code == "no_workers"):
            return DecisionOutcome.NO_WORKERS
        is_over_limit = isinstance(error, TaskFailed) and error.type in LIMIT_TYPES
        has_worker = bool(self.attempts) and bool(self.attempts[-1].chosen)
        return DecisionOutcome.ROUTED if has_worker and not is_over_limit else None
