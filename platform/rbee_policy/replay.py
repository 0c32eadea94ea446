"""Decides recorded tasks again, by the scripts as they are and as they would be, in a process that scripts may crash:
`rbee_policy.apart` starts it.

Reads lines of JSON from standard input and writes one when there are no more of them, or no more time:

    {"own": [key], "models": […], "time_s": 5}
    ["owner", {"owner", "scripts": {key: source}, "old": deciders, "new": deciders}]     before its first decision
    ["decision", {"task_id", "at", "owner", "task", "customer", "offered": [{…}], "recorded": [outcome, code]}]

`deciders` are `[key, on_error]` in the order in which they decide. `own` are the scripts of who asks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import rhai_py

from rbee_policy.asking import Rejection, ScriptBroke, ask_admission, ask_cost, ask_routing, least_loaded
from rbee_policy.functions import Facts
from rbee_policy.language import PolicyInvalid, admits, compile_policy, prices, router_of
from rbee_policy.sandbox import Note, confine, note_of
from rbee_policy.tally import Judged, Tally
from rbee_policy.world import defaults

LEAST_LOADED: Final = "least_loaded"  # what a policy may say that an error of it means


class ScriptInvalid(Exception):
    def __init__(self, key: str, invalid: PolicyInvalid) -> None:
        super().__init__(str(invalid))
        self.key = key


class Offered(NamedTuple):
    id: str
    record: rhai_py.Record
    in_flight: int
    capacity: int


class Decider:
    """One script on one of the sides. `turn` counts its routings, as a queen does."""

    def __init__(self, key: str, script: rhai_py.Script, on_error: str, *, is_own: bool) -> None:
        self.key = key
        self.script = script
        self.admits = admits(script)
        self.routes = router_of(script) is not None
        self.on_error = on_error
        self.is_own = is_own
        self.turn = count()


class Side:
    """The deciders of each owner, as they are or as they would be."""

    def __init__(self, own: Sequence[str], note: Note) -> None:
        self._own = own
        self._note = note
        self._made: dict[str, Decider] = {}  # one for all owners that share it, as in a queen
        self._deciders: dict[str, list[Decider]] = {}

    def add(
        self, owner: str, deciders: Sequence[Sequence[str]], scripts: Mapping[str, rhai_py.Script]
    ) -> None:
        for key, on_error in deciders:
            if key not in self._made:
                self._made[key] = Decider(key, scripts[key], on_error, is_own=key in self._own)
        self._deciders[owner] = [self._made[key] for key, _ in deciders]

    def judge(
        self, task_id: str, owner: str, task: rhai_py.Record, facts: Facts, offered: Sequence[Offered]
    ) -> Judged:
        """As the queen goes about it: each admits, then each narrows what the one before left."""
        deciders = self._deciders[owner]
        problem = ""
        assert facts.customer is not None
        for each in deciders:
            if not each.admits:
                continue
            self._note.write(f"{each.key} should_admit with task {task_id}")
            try:
                rejection = ask_admission(each.script, task, facts.customer, facts=facts)
            except ScriptBroke as broke:
                return _broken(each, broke)
            if rejection is not None:
                return _rejected(rejection)
        left: Sequence[Offered] = offered
        for each in deciders:
            if not each.routes or not left:
                continue
            self._note.write(f"{each.key} route_task with task {task_id}")
            try:
                answer = ask_routing(each.script, task, left, turn=next(each.turn), facts=facts)
            except ScriptBroke as broke:
                if each.on_error != LEAST_LOADED:
                    return _broken(each, broke)
                problem = problem or _problem(each, broke)
                continue
            if isinstance(answer, Rejection):
                return _rejected(answer)
            left = answer
        if not left:
            return Judged("no_workers", "no_workers", problem=problem)
        chosen = least_loaded(left)
        return Judged(
            "routed",
            worker=chosen.id,
            gpu_type=str(chosen.record.get("gpu_type")),
            record=chosen.record,
            problem=problem,
        )


def replay(lines: Iterable[bytes], note: Note) -> dict[str, Any]:
    """Raises ScriptInvalid."""
    rest = iter(lines)
    head = json.loads(next(rest))
    old, new = sides = (Side(head["own"], note), Side(head["own"], note))
    scripts: dict[str, rhai_py.Script] = {}
    models = frozenset(head["models"])
    tally = Tally()
    ends_at = time.monotonic() + head["time_s"]
    for line in rest:
        kind, value = json.loads(line)
        if kind == "owner":
            _compile(value["scripts"], scripts, note)
            old.add(value["owner"], value["old"], scripts)
            new.add(value["owner"], value["new"], scripts)
            continue
        if time.monotonic() > ends_at:
            tally.ended_by = "time"
            break
        task = rhai_py.Record("task", defaults("task") | value["task"])
        customer = rhai_py.Record("customer", defaults("customer") | value["customer"])
        facts = Facts(customer, models.__contains__)
        offered = [_offered(fields) for fields in value["offered"]]
        judged = [side.judge(value["task_id"], value["owner"], task, facts, offered) for side in sides]
        pricing = next((key for key in head["own"] if key in scripts and prices(scripts[key])), None)
        if pricing is not None:
            tally.is_priced = True
            note.write(f"{pricing} calculate_cost with task {value['task_id']}")
            judged = [_priced(scripts[pricing], task, facts, each) for each in judged]
        tally.add(value, *judged)
    return tally.summary()


def _compile(sources: Mapping[str, str], scripts: dict[str, rhai_py.Script], note: Note) -> None:
    for key, source in sources.items():
        if key in scripts:
            continue
        note.write(f"{key} compile")
        try:
            scripts[key] = compile_policy(source)
        except PolicyInvalid as invalid:
            raise ScriptInvalid(key, invalid) from None


def _offered(fields: dict[str, Any]) -> Offered:
    fields = defaults("worker") | fields
    return Offered(
        str(fields["id"]), rhai_py.Record("worker", fields), int(fields["in_flight"]), int(fields["capacity"])
    )


def _priced(script: rhai_py.Script, task: rhai_py.Record, facts: Facts, judged: Judged) -> Judged:
    """By the same function on both sides, so that they can be compared."""
    if judged.record is None:
        return judged
    try:
        return judged._replace(cost_micros=ask_cost(script, task, judged.record, facts=facts))
    except ScriptBroke as broke:
        return judged._replace(problem=judged.problem or str(broke))


def _rejected(rejection: Rejection) -> Judged:
    return Judged("rejected", rejection.code, message=rejection.message)


def _broken(decider: Decider, broke: ScriptBroke) -> Judged:
    return Judged("policy_error", "policy_error", problem=_problem(decider, broke))


def _problem(decider: Decider, broke: ScriptBroke) -> str:
    """What another's script stumbles over is not for the eyes of this one's owner."""
    return str(broke) if decider.is_own else "the script of somebody else broke"


def main() -> None:
    note = note_of(sys.argv[1:])
    confine()
    try:
        answer = replay(sys.stdin.buffer, note)
    except ScriptInvalid as invalid:
        answer = {"invalid": str(invalid), "key": invalid.key}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
