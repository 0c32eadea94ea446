"""What is wrong with something that people wrote, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """`line` and `column` count from 1; None where no place is to blame."""

    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.message
        column = "" if self.column is None else f", column {self.column}"
        return f"line {self.line}{column}: {self.message}"


class Invalid(ValueError):
    """`str()` of it, `problem`, `line` and `column` are of the first of `problems`."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(str(problems[0]))
        self.problems = problems
        self.problem, self.line, self.column = problems[0]


def hint(word: object, known: Iterable[str]) -> str:
    """The nearest of what there is, else all of it."""
    names = list(known)
    nearest = difflib.get_close_matches(str(word), names, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(names)}"
