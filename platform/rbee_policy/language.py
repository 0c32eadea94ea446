"""Compiling a policy, and saying what is wrong with one that cannot be kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import rhai_py

from rbee_policy.codes import REJECTION_CODES
from rbee_policy.functions import FUNCTIONS, QUOTA_FUNCTIONS
from rbee_policy.problems import Invalid, Problem, hint
from rbee_policy.world import KINDS

ENTRY_POINTS: Final[dict[str, tuple[str, ...]]] = {
    "should_admit": ("task", "customer"),
    "route_task": ("task", "workers"),
    "calculate_cost": ("task", "worker"),
    # What older scripts call route_task; `pools` are the hives of the workers. In force where there is no route_task.
    "schedule_job": ("job", "pools", "workers"),
}
DECIDING: Final = ("should_admit", "route_task")

# What each parameter of an entry point is: a record of a kind, or a list of them.
PARAMETER_KINDS: Final = {
    "task": "task",
    "job": "task",
    "customer": "customer",
    "worker": "worker",
    "workers": "workers",
    "pools": "hives",
}
HIVES: Final = "hives"
LISTS: Final = {"workers": "worker", HIVES: "hive"}
_VARIABLES: Final[dict[str, str | None]] = {HIVES: HIVES}

# Comments and other texts are matched so that what stands in them is passed over.
_REJECT_OR_NOISE = re.compile(
    r"""//[^\n]* | /\*.*?(?:\*/|\Z)
    | \breject\s*\(\s*"(?:[^"\\]|\\.)*"\s*,\s*"(?P<code>(?:[^"\\]|\\.)*)"\s*\)
    | "(?:[^"\\]|\\.)*(?:"|\\?\Z) | `[^`]*(?:`|\Z)""",
    re.VERBOSE | re.DOTALL,
)

# One engine for all scripts of this process: what was checked here is what runs.
engine = rhai_py.Engine(aliases={"match": "switch"}, functions=FUNCTIONS, variables=(HIVES,))


def _held_by(kind: str) -> dict[str, str | None]:
    """What each field of a record holds, as the linter wants it said: None for a scalar, "?" for anything, else a kind."""
    held: dict[str, str | None] = {}
    for name, field in KINDS[kind].items():
        if field.type == "map" and field.default:
            held[name] = name
        else:
            held[name] = "?" if field.type in ("map", "list") else None
    return held


# Of the maps, those whose fields are always the same are kinds of their own: `worker.geo`, but not `worker.labels`.
_KINDS: Final[dict[str, dict[str, str | None]]] = {kind: _held_by(kind) for kind in KINDS} | {
    name: dict.fromkeys(field.default)
    for fields in KINDS.values()
    for name, field in fields.items()
    if isinstance(field.default, dict) and field.default
}


class PolicyInvalid(Invalid):
    """The script cannot be kept."""


def compile_policy(source: str) -> rhai_py.Script:
    """Raises PolicyInvalid, also for a script that defines nothing that rbee calls, and for one that speaks of fields
    and functions that there are not."""
    try:
        script = engine.compile(source)
    except rhai_py.RhaiError as error:
        column = None if error.line is None else error.column or 1
        raise PolicyInvalid(Problem(error.message, error.line, column)) from None
    problems = [*_wrong_signatures(script), *_unknown_codes(source), *_unknown_names(script)]
    if problems:
        raise PolicyInvalid(*problems)
    return script


def admits(script: rhai_py.Script) -> bool:
    return _defines(script, "should_admit")


def router_of(script: rhai_py.Script) -> str | None:
    """The function that routes."""
    return next((name for name in ("route_task", "schedule_job") if _defines(script, name)), None)


def prices(script: rhai_py.Script) -> bool:
    return _defines(script, "calculate_cost")


def reads_subject(source: str) -> bool:
    """It may look at what an end user used, which costs a look at the counters."""
    return "subject_" in source


def reads_quota(source: str) -> bool:
    """It may call a function about quotas."""
    return any(name in source for name in QUOTA_FUNCTIONS)


def _defines(script: rhai_py.Script, name: str) -> bool:
    return script.has_function(name, len(ENTRY_POINTS[name]))


def _wrong_signatures(script: rhai_py.Script) -> list[Problem]:
    found = {name: arity for name, arity in script.functions if name in ENTRY_POINTS}
    if "route_task" in found:
        found.pop("schedule_job", None)  # a function of the script's own
    if not found:
        return [Problem(f"a policy defines {' or '.join(map(_signature, DECIDING))}")]
    return [
        Problem(f"write {_signature(name)}")
        for name, arity in found.items()
        if arity != len(ENTRY_POINTS[name])
    ]


def _unknown_names(script: rhai_py.Script) -> list[Problem]:
    """Fields and functions that there are not, where that can be seen without running it."""
    entry_points: dict[str, Sequence[str | None]] = {
        name: tuple(PARAMETER_KINDS[parameter] for parameter in parameters)
        for name, parameters in ENTRY_POINTS.items()
        if _defines(script, name)
    }
    found = script.lint(entry_points, _KINDS, LISTS, _VARIABLES)
    return [Problem(finding.message, finding.line, finding.column) for finding in found]


def _unknown_codes(source: str) -> list[Problem]:
    """Of `reject("…", "code")` with a literal code; one that is computed fails when it is used."""
    problems = []
    for match in _REJECT_OR_NOISE.finditer(source):
        code = match["code"]
        if code is not None and code not in REJECTION_CODES:
            line = source.count("\n", 0, match.start()) + 1
            column = match.start() - source.rfind("\n", 0, match.start())
            problems.append(
                Problem(f"reject() knows no code {code!r}; {hint(code, REJECTION_CODES)}", line, column)
            )
    return problems


def _signature(name: str) -> str:
    return f"fn {name}({', '.join(ENTRY_POINTS[name])})"
