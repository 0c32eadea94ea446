"""Calling an entry point of a compiled policy, and making sense of what it answers.

ScriptBroke     an error, more time or work than a call may take, or an answer that means nothing. Its message never quotes
                what the script was given
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

import rhai_py

from rbee_policy.codes import REJECTION_CODES, code_of

# The wall clock, which goes on while a busy machine runs somebody else; the work itself is bounded by the operations that
# a call may take, a few milliseconds' worth.
CALL_TIMEOUT_MS: Final = 50.0


class HasRecord(Protocol):
    """A worker that is offered; `record` is how scripts see it."""

    @property
    def record(self) -> rhai_py.Record: ...


W = TypeVar("W", bound=HasRecord)


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


def ask_admission(script: rhai_py.Script, task: rhai_py.Record, customer: rhai_py.Record) -> Rejection | None:
    """None admits: `admit()`, or no value. Raises ScriptBroke."""
    function = "should_admit"
    answer = _call(script, function, task, customer)
    if answer is None:
        return None
    if not isinstance(answer, rhai_py.Verdict):
        raise ScriptBroke(function, f"it returned {_kind(answer)}; end it with admit() or reject(…)")
    return _rejection(function, answer)


def ask_routing(
    script: rhai_py.Script, task: rhai_py.Record, workers: Sequence[W], *, turn: int
) -> Sequence[W] | Rejection:
    """What the script leaves of `workers`: all of them when it has no opinion, none when it answers `none`. `turn` is
    where `workers.round_robin()` stands. Raises ScriptBroke."""
    function = "route_task"
    offered = {id(worker.record): worker for worker in workers}
    records = rhai_py.Workers([worker.record for worker in workers], round_robin=turn)
    answer = _call(script, function, task, records)
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


def _call(script: rhai_py.Script, function: str, *arguments: object) -> object:
    try:
        return script.call(function, *arguments, timeout_ms=CALL_TIMEOUT_MS)
    except rhai_py.RhaiError as error:
        raise ScriptBroke(function, f"{error.kind}: {error.message}", error.line, error.column) from None


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
