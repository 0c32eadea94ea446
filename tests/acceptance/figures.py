"""Figures that an acceptance run prints as its last lines."""

import os
from fractions import Fraction

SCALE = Fraction(os.environ.get("RBEE_ACCEPT_SCALE", "0.01"))
SEED = int(os.environ.get("RBEE_ACCEPT_SEED", "7833"))

figures: dict[str, str] = {}


def note(name: str, value: object) -> None:
    figures[name] = str(value)


def scaled(full: int, *, least: int = 1) -> int:
    """`full` in an acceptance run, its seeded sample in `make test`."""
    return max(least, int(full * SCALE))
