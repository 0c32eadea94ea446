"""Counting what two sets of scripts make of the same tasks, with some of each kind of difference as examples."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

import rhai_py

EXAMPLES: Final = 5
PROBLEMS: Final = 5
MESSAGE_CHARS: Final = 200
_TASK_FIELDS: Final = ("type", "model", "priority", "customer_id", "customer_tier", "customer_region")
# What can become of a task that one set of scripts treats unlike the other.
CHANGES: Final = ("refused", "admitted", "code", "worker")


class Judged(NamedTuple):
    """What became of a task. `record` is that of the chosen worker; `problem` what a script stumbled over, also where
    that is forgiven."""

    outcome: str
    code: str = ""
    worker: str = ""
    gpu_type: str = ""
    message: str = ""
    problem: str = ""
    cost_micros: int | None = None
    record: rhai_py.Record | None = None

    def shown(self) -> dict[str, Any]:
        named = {
            "code": self.code,
            "worker": self.worker,
            "gpu_type": self.gpu_type,
            "message": self.message[:MESSAGE_CHARS],
            "problem": self.problem[:MESSAGE_CHARS],
        }
        shown: dict[str, Any] = {"outcome": self.outcome} | {
            name: text for name, text in named.items() if text
        }
        return shown if self.cost_micros is None else shown | {"cost_micros": self.cost_micros}


class _Side:
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.gpu_types: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.cost_micros = 0

    def add(self, judged: Judged) -> None:
        self.outcomes[judged.outcome] += 1
        self.cost_micros += judged.cost_micros or 0
        for counter, text in (
            (self.codes, judged.code),
            (self.gpu_types, judged.gpu_type),
            (self.problems, judged.problem),
        ):
            if text:
                counter[text] += 1

    def shown(self, *, is_priced: bool) -> dict[str, Any]:
        return {
            "outcomes": dict(self.outcomes),
            "codes": dict(self.codes),
            "gpu_types": dict(self.gpu_types),
            "errors": self.problems.total(),
            "problems": [
                {"problem": text[:MESSAGE_CHARS], "count": count}
                for text, count in self.problems.most_common(PROBLEMS)
            ],
            "cost_micros": self.cost_micros if is_priced else None,
        }


class Tally:
    """`ended_by` is `end`, or `time` when there were more decisions than time for them."""

    def __init__(self) -> None:
        self.is_priced = False
        self.ended_by = "end"
        self._replayed = 0
        self._as_recorded = 0
        self._old, self._new = _Side(), _Side()
        self._changed = dict.fromkeys(CHANGES, 0)
        self._examples: dict[str, list[dict[str, Any]]] = {}

    def add(self, decision: dict[str, Any], old: Judged, new: Judged) -> None:
        self._replayed += 1
        self._old.add(old)
        self._new.add(new)
        outcome, code = decision["recorded"]
        self._as_recorded += (old.outcome, old.code) == (outcome, code if outcome != "routed" else "")
        change = _change(old, new)
        if change is None:
            return
        self._changed[change] += 1
        examples = self._examples.setdefault(change, [])
        if len(examples) < EXAMPLES:
            examples.append(
                {
                    "task_id": decision["task_id"],
                    "at": decision["at"],
                    "task": {name: decision["task"].get(name) for name in _TASK_FIELDS},
                    "old": old.shown(),
                    "new": new.shown(),
                }
            )

    def summary(self) -> dict[str, Any]:
        return {
            "replayed": self._replayed,
            "ended_by": self.ended_by,
            "as_recorded": self._as_recorded,
            "old": self._old.shown(is_priced=self.is_priced),
            "new": self._new.shown(is_priced=self.is_priced),
            "unchanged": self._replayed - sum(self._changed.values()),
            "changed": self._changed,
            "examples": self._examples,
        }


def _change(old: Judged, new: Judged) -> str | None:
    if (old.outcome == "routed") != (new.outcome == "routed"):
        return "refused" if old.outcome == "routed" else "admitted"
    if old.code != new.code:
        return "code"
    return "worker" if old.worker != new.worker else None
