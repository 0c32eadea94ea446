"""Calling an entry point of a compiled policy, and making sense of what it answers.

ScriptBroke     an error, more time or work than a call may take, or an answer that means nothing. Its message never quotes
                what the script was given
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, TypeVar

import rhai_py

from rbee_policy.codes import REJECTION_CODES, code_of
from rbee_policy.functions import NO_FACTS, Facts, answer_from, hives_of
from rbee_policy.language import HIVES, router_of

# The wall clock goes on while a busy machine runs somebody else, which is no fault of a script: it ends what waits. What
# a call computes is bounded by itself.
CALL_TIMEOUT_MS: Final = 1000.0
CALL_CPU_MS: Final = 20.0
MAX_COST_MICROS: Final = 2**63 - 1


class HasRecord(Protocol):
    """A worker that is offered; `record` is how scripts see it."""

    @property
    def record(self) -> rhai_py.Record: ...


class HasLoad(Protocol):
    @property
    def in_flight(self) -> int: ...
    @property
    def capacity(self) -> int: ...


W = TypeVar("W", bound=HasRecord)
L = TypeVar("L", bound=HasLoad)


class Rejection(NamedTuple):
    message: str
    code: str  # one of REJECTION_CODES


class ScriptBroke(Exception):
    """`line` and `column` count from 1; None where no place is to blame."""

    def __init__(
        self, function: str, problem: str, line: int | None = None, column: int | None = None
    ) -> None:
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(f"{function}: {place}{problem}")
        self.function = function
        self.problem = problem
        self.line = line
        self.column = column


def ask_admission(
    script: rhai_py.Script, task: rhai_py.Record, customer: rhai_py.Record, *, facts: Facts = NO_FACTS
) -> Rejection | None:
    """None admits: `admit()`, or no value. Raises ScriptBroke."""
    function = "should_admit"
    answer = _call(script, function, facts, (), task, customer)
    if answer is None:
        return None
    if not isinstance(answer, rhai_py.Verdict):
        raise ScriptBroke(function, f"it returned {_kind(answer)}; end it with admit() or reject(…)")
    return _rejection(function, answer)


def ask_routing(
    script: rhai_py.Script,
    task: rhai_py.Record,
    workers: Sequence[W],
    *,
    turn: int,
    facts: Facts = NO_FACTS,
) -> Sequence[W] | Rejection:
    """What the script leaves of `workers`: `workers` itself when it has no opinion, none when it answers `none`. `turn`
    is where `workers.round_robin()` stands. Raises ScriptBroke."""
    function = _router_of(script)
    offered = {id(worker.record): worker for worker in workers}
    records = [worker.record for worker in workers]
    listed = rhai_py.Workers(records, round_robin=turn)
    if function == "schedule_job":
        answer = _call(script, function, facts, records, task, rhai_py.Workers(hives_of(records)), listed)
    else:
        answer = _call(script, function, facts, records, task, listed)
    if answer is None:
        return workers
    if isinstance(answer, rhai_py.None_):
        return ()
    if isinstance(answer, rhai_py.Record):
        chosen = offered.get(id(answer))
        if chosen is None:
            raise ScriptBroke(function, "it returned something that is none of its workers")
        return (chosen,)
    if isinstance(answer, rhai_py.Workers):
        answer = answer.to_list()
    if isinstance(answer, list):
        left = [offered.get(id(record)) for record in answer]
        if None in left:
            raise ScriptBroke(function, "it returned a list with something that is none of its workers")
        return [worker for worker in left if worker is not None]
    if isinstance(answer, rhai_py.Verdict):
        rejection = _rejection(function, answer)
        return workers if rejection is None else rejection
    raise ScriptBroke(function, f"it returned {_kind(answer)}; return a worker, workers or nothing")


def ask_cost(
    script: rhai_py.Script, task: rhai_py.Record, worker: rhai_py.Record, *, facts: Facts = NO_FACTS
) -> int | None:
    """What the task would cost on that worker, in micro-units of the currency; None when the script does not say. For
    comparing, never for a bill. Raises ScriptBroke."""
    function = "calculate_cost"
    answer = _call(script, function, facts, (worker,), task, worker)
    if answer is None:
        return None
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise ScriptBroke(function, f"it returned {_kind(answer)}; return a number of micro-units")
    if not math.isfinite(answer) or not 0 <= answer <= MAX_COST_MICROS:
        raise ScriptBroke(function, "it returned a cost that is not from 0 to the largest integer")
    return round(answer)


def least_loaded(workers: Sequence[L]) -> L:
    """By what is in flight for what it takes; of equal ones the first."""
    return min(workers, key=lambda worker: (worker.in_flight / max(worker.capacity, 1), worker.in_flight))


def _call(
    script: rhai_py.Script,
    function: str,
    facts: Facts,
    workers: Sequence[rhai_py.Record],
    *arguments: object,
) -> object:
    variables: dict[str, object] | None = None
    if _names_hives(script):
        variables = {HIVES: rhai_py.Workers(hives_of(workers))}
    answer_from(facts, workers)
    try:
        return script.call(
            function, *arguments, variables=variables, timeout_ms=CALL_TIMEOUT_MS, cpu_ms=CALL_CPU_MS
        )
    except rhai_py.RhaiError as error:
        raise ScriptBroke(function, f"{error.kind}: {error.message}", error.line, error.column) from None
    finally:
        answer_from(NO_FACTS)


@lru_cache(maxsize=256)
def _router_of(script: rhai_py.Script) -> str:
    return router_of(script) or "route_task"


@lru_cache(maxsize=256)
def _names_hives(script: rhai_py.Script) -> bool:
    """Made only for scripts that look at them."""
    return HIVES in script.source


def _rejection(function: str, verdict: rhai_py.Verdict) -> Rejection | None:
    if verdict.admitted:
        return None
    message = verdict.message or ""
    code = code_of(message, verdict.code)
    if code not in REJECTION_CODES:
        raise ScriptBroke(function, f"reject(…) names the unknown code {code!r}")
    return Rejection(message, code)


def _kind(answer: object) -> str:
    return "a record" if isinstance(answer, rhai_py.Record) else type(answer).__name__
