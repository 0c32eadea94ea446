"""Running the cases of a policy: what a task, its customer and the workers are, and what is expected to come of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import rhai_py

from rbee_policy.asking import (
    Rejection,
    ScriptBroke,
    ask_admission,
    ask_cost,
    ask_routing,
    least_loaded,
)
from rbee_policy.codes import REJECTION_CODES
from rbee_policy.functions import Facts
from rbee_policy.language import admits, prices, router_of

WORDS: Final = ("admit", "reject", "none", "no_opinion")


class CaseWorker(NamedTuple):
    id: str
    hive: str
    in_flight: int
    capacity: int
    record: rhai_py.Record


class Expected(NamedTuple):
    """What is None is not looked at."""

    text: str  # as people write it
    word: str = ""  # one of WORDS
    rejection: dict[str, str | int] | None = None
    worker: str | None = None
    workers: list[str] | None = None  # what the script left, in any order
    cost_micros: int | None = None


class Case(NamedTuple):
    name: str
    line: int
    task: rhai_py.Record
    customer: rhai_py.Record
    workers: list[CaseWorker] | None  # None: nothing is routed
    models: frozenset[str]
    turn: int
    expected: Expected


class Outcome(NamedTuple):
    """What came of a case. `left` is None when nothing was routed; `broke` says what a script stumbled over."""

    rejection: Rejection | None = None
    left: Sequence[CaseWorker] | None = None
    has_opinion: bool = True
    chosen: CaseWorker | None = None
    cost_micros: int | None = None
    broke: str = ""


class Result(NamedTuple):
    case: Case
    passed: bool
    got: str


def run_cases(script: rhai_py.Script, cases: Sequence[Case]) -> list[Result]:
    results = []
    for case in cases:
        outcome = run_case(script, case)
        results.append(Result(case, not outcome.broke and _meets(case.expected, outcome), described(outcome)))
    return results


def run_case(script: rhai_py.Script, case: Case) -> Outcome:
    """Admission first, then routing, then the price of what was chosen, as the queen goes about it."""
    facts = Facts(case.customer, case.models.__contains__)
    try:
        if admits(script):
            rejection = ask_admission(script, case.task, case.customer, facts=facts)
            if rejection is not None:
                return Outcome(rejection)
        if case.workers is None:
            return Outcome()
        left: Sequence[CaseWorker] | Rejection = case.workers
        if router_of(script) and case.workers:
            left = ask_routing(script, case.task, case.workers, turn=case.turn, facts=facts)
        if isinstance(left, Rejection):
            return Outcome(left)
        chosen = least_loaded(left) if left else None
        cost = None
        if chosen is not None and prices(script):
            cost = ask_cost(script, case.task, chosen.record, facts=facts)
        return Outcome(left=left, has_opinion=left is not case.workers, chosen=chosen, cost_micros=cost)
    except ScriptBroke as broke:
        return Outcome(broke=str(broke))


def described(outcome: Outcome) -> str:
    if outcome.broke:
        return f"500 policy_error: {outcome.broke}"
    if outcome.rejection is not None:
        status, _ = REJECTION_CODES[outcome.rejection.code]
        return f"reject {status} {outcome.rejection.code}: {outcome.rejection.message}"
    if outcome.left is None:
        return "admit"
    if outcome.chosen is None:
        return "none"
    cost = "" if outcome.cost_micros is None else f", {outcome.cost_micros} micros"
    if not outcome.has_opinion:
        return f"no_opinion, so {outcome.chosen.id}{cost}"
    others = f" of {', '.join(worker.id for worker in outcome.left)}" if len(outcome.left) > 1 else ""
    return f"{outcome.chosen.id}{others}{cost}"


def _meets(expected: Expected, outcome: Outcome) -> bool:
    rejection = outcome.rejection
    if expected.word == "reject":
        if rejection is None:
            return False
        found = {
            "message": rejection.message,
            "code": rejection.code,
            "status": REJECTION_CODES[rejection.code][0],
        }
        return all(found[name] == value for name, value in (expected.rejection or {}).items())
    if rejection is not None:
        return False
    left = outcome.left
    return (
        (expected.word != "none" or (left is not None and not left))
        and (expected.word != "no_opinion" or not outcome.has_opinion)
        and (expected.worker is None or (outcome.chosen is not None and _is(outcome.chosen, expected.worker)))
        and (expected.workers is None or (left is not None and _are(left, expected.workers)))
        and (expected.cost_micros is None or outcome.cost_micros == expected.cost_micros)
    )


def _is(worker: CaseWorker, name: str) -> bool:
    return name in {worker.id, worker.hive}


def _are(left: Sequence[CaseWorker], names: list[str]) -> bool:
    return all(any(_is(worker, name) for name in names) for worker in left) and all(
        any(_is(worker, name) for worker in left) for name in names
    )
