"""The tables of `platform/docs/policies.md`, written from what is in force.

    python -m rbee_policy.reference platform/docs/policies.md

rewrites what stands between `<!-- fields of a task -->` and `<!-- end -->`, and so on.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rbee_policy.codes import REJECTION_CODES
from rbee_policy.world import KINDS

_TABLE = re.compile(r"(<!-- (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fields_of(kind: str) -> str:
    rows = ["| field | type | unit | what it is |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {field.type} | {field.unit} | {field.text} |" for name, field in KINDS[kind].items()
    ]
    return "\n".join(rows)


def codes() -> str:
    by_answer: dict[tuple[int, str], list[str]] = {}
    for code, answer in REJECTION_CODES.items():
        by_answer.setdefault(answer, []).append(f"`{code}`")
    rows = ["| code | HTTP status | `type` |", "|---|---|---|"]
    rows += [f"| {', '.join(named)} | {status} | `{kind}` |" for (status, kind), named in by_answer.items()]
    return "\n".join(rows)


def tables() -> dict[str, str]:
    return {f"fields of a {kind}": fields_of(kind) for kind in KINDS} | {"codes of rejections": codes()}


def rewritten(page: str) -> str:
    """The page with these tables as they are; others that are marked are left alone."""
    made = tables()

    def table(found: re.Match[str]) -> str:
        name = found["name"]
        return f"{found[1]}{made[name]}\n{found[3]}" if name in made else found[0]

    return _TABLE.sub(table, page)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text()))
