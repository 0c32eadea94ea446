"""Compiling a policy, and saying what is wrong with one that cannot be kept."""

from __future__ import annotations

import difflib
import re
from typing import Final

import rhai_py

from rbee_policy.codes import REJECTION_CODES

ENTRY_POINTS: Final[dict[str, tuple[str, ...]]] = {
    "should_admit": ("task", "customer"),
    "route_task": ("task", "workers"),
}

# Comments and other texts are matched so that what stands in them is passed over.
_REJECT_OR_NOISE = re.compile(
    r"""//[^\n]* | /\*.*?(?:\*/|\Z)
    | \breject\s*\(\s*"(?:[^"\\]|\\.)*"\s*,\s*"(?P<code>(?:[^"\\]|\\.)*)"\s*\)
    | "(?:[^"\\]|\\.)*(?:"|\\?\Z) | `[^`]*(?:`|\Z)""",
    re.VERBOSE | re.DOTALL,
)

# One engine for all scripts of this process: what was checked here is what runs.
engine = rhai_py.Engine(aliases={"match": "switch"})


class PolicyInvalid(ValueError):
    """The script cannot be kept. `line` and `column` count from 1; None where no place is to blame."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        place = (
            "" if line is None else f"line {line}: " if column is None else f"line {line}, column {column}: "
        )
        super().__init__(place + problem)
        self.problem = problem
        self.line = line
        self.column = column


def compile_policy(source: str) -> rhai_py.Script:
    """Raises PolicyInvalid, also for a script that defines nothing that rbee calls."""
    try:
        script = engine.compile(source)
    except rhai_py.RhaiError as error:
        column = None if error.line is None else error.column or 1
        raise PolicyInvalid(error.message, error.line, column) from None
    found = {name: arity for name, arity in script.functions if name in ENTRY_POINTS}
    for name, arity in found.items():
        if arity != len(ENTRY_POINTS[name]):
            raise PolicyInvalid(f"write {_signature(name)}")
    _check_codes(source)
    if not found:
        raise PolicyInvalid(f"a policy defines {' or '.join(map(_signature, ENTRY_POINTS))}")
    return script


def _check_codes(source: str) -> None:
    """Of `reject("…", "code")` with a literal code; one that is computed fails when it is used."""
    for match in _REJECT_OR_NOISE.finditer(source):
        code = match["code"]
        if code is not None and code not in REJECTION_CODES:
            line = source.count("\n", 0, match.start()) + 1
            nearest = difflib.get_close_matches(code, REJECTION_CODES, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(REJECTION_CODES)}"
            raise PolicyInvalid(f"reject() knows no code {code!r}; {hint}", line)


def _signature(name: str) -> str:
    return f"fn {name}({', '.join(ENTRY_POINTS[name])})"
