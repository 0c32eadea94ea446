"""Runs a script against whatever it may meet, in a process that it may crash: `rbee_policy.apart` starts it.

Reads `{"source": …}` from standard input, writes `{"findings": […], "refused": …}`. A finding says which entry point
stumbled over what, and how often; `refused` says why the script must not be in force, and is empty when nothing speaks
against it. A process that ends in any other way says it by that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final, TypedDict

import rhai_py

from rbee_policy.asking import ScriptBroke, ask_admission, ask_cost, ask_routing
from rbee_policy.functions import Facts
from rbee_policy.hostile import Given, fixtures
from rbee_policy.language import PolicyInvalid, admits, compile_policy, prices, router_of
from rbee_policy.sandbox import Note, confine, note_of

MAX_FINDINGS: Final = 20
EXAMPLES: Final = 3


class Finding(TypedDict):
    function: str
    problem: str
    count: int
    of: int  # calls of that function
    examples: list[str]


class Verdict(TypedDict):
    findings: list[Finding]
    refused: str


def vet(source: str, note: Note) -> Verdict:
    """Calls each entry point with every fixture. One that breaks on all of them can be of no use to anybody."""
    note.write("compile")
    try:
        script = compile_policy(source)
    except PolicyInvalid as invalid:
        return Verdict(findings=[], refused=str(invalid))
    calls: dict[str, int] = {}
    found: dict[tuple[str, str], Finding] = {}
    for given in fixtures(source):
        for function, ask in _entry_points(script, given):
            calls[function] = calls.get(function, 0) + 1
            note.write(f"{function} with {given.name}")
            try:
                ask()
            except ScriptBroke as broke:
                place = "" if broke.line is None else f"line {broke.line}, column {broke.column}: "
                problem = place + broke.problem
                finding = found.setdefault(
                    (function, problem),
                    Finding(function=function, problem=problem, count=0, of=0, examples=[]),
                )
                finding["count"] += 1
                if len(finding["examples"]) < EXAMPLES:
                    finding["examples"].append(given.name)
    findings = sorted(found.values(), key=lambda finding: -finding["count"])
    for finding in findings:
        finding["of"] = calls[finding["function"]]
    return Verdict(findings=findings[:MAX_FINDINGS], refused=_refusal(findings, calls))


def _entry_points(script: rhai_py.Script, given: Given) -> list[tuple[str, Callable[[], object]]]:
    facts = Facts(given.customer, lambda name: name == given.task.get("model"))
    asked: list[tuple[str, Callable[[], object]]] = []
    if admits(script):
        asked.append(("should_admit", lambda: ask_admission(script, given.task, given.customer, facts=facts)))
    if router := router_of(script):
        asked.append((router, lambda: ask_routing(script, given.task, given.workers, turn=1, facts=facts)))
    if prices(script) and given.workers:
        worker = given.workers[0].record
        asked.append(("calculate_cost", lambda: ask_cost(script, given.task, worker, facts=facts)))
    return asked


def _refusal(findings: list[Finding], calls: dict[str, int]) -> str:
    for function, asked in calls.items():
        of_it = [finding for finding in findings if finding["function"] == function]
        if sum(finding["count"] for finding in of_it) == asked:
            return f"{function} breaks whatever it is given: {of_it[0]['problem']}"
    return ""


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    note = note_of(sys.argv[1:])
    confine()
    json.dump(vet(str(request["source"]), note), sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
