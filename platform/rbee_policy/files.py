"""Files of policies: scripts, and rules and cases in YAML.

NAME.rhai           a script
NAME.yaml           rules, which are written out as one
NAME.cases.yaml     cases of either
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Final

from rbee_policy.case_files import read_cases
from rbee_policy.documents import DocumentInvalid, read_document
from rbee_policy.language import compile_policy
from rbee_policy.problems import Invalid, Problem
from rbee_policy.rules import script_of_rules

YAML_SUFFIXES: Final = (".yaml", ".yml")
CASES_SUFFIX: Final = ".cases.yaml"


class Kind(StrEnum):
    SCRIPT = "script"
    RULES = "rules"
    CASES = "cases"


def kind_of(name: str, text: str) -> Kind:
    """Raises DocumentInvalid."""
    if not name.endswith(YAML_SUFFIXES):
        return Kind.SCRIPT
    value = read_document(text).value
    for kind in (Kind.RULES, Kind.CASES):
        if isinstance(value, dict) and kind in value:
            return kind
    raise DocumentInvalid(Problem("it has neither rules nor cases", 1, 1))


def script_in(name: str, text: str) -> str:
    """The script that the file is, or that its rules are written out as; checked. Raises Invalid."""
    kind = kind_of(name, text)
    if kind is Kind.CASES:
        raise DocumentInvalid(Problem("it has cases; name the script or the rules that they are for", 1, 1))
    if kind is Kind.RULES:
        return script_of_rules(text)
    compile_policy(text)
    return text


def problems_in(name: str, text: str) -> list[Problem]:
    """What is wrong with the file, whichever kind it is of; in the order of its lines."""
    try:
        if kind_of(name, text) is Kind.CASES:
            read_cases(text)
        else:
            script_in(name, text)
    except Invalid as invalid:
        return sorted(invalid.problems, key=lambda problem: (problem.line or 0, problem.column or 0))
    return []


def cases_beside(name: str) -> str:
    """Where the cases of a policy are looked for."""
    return str(PurePath(name).with_suffix(CASES_SUFFIX))
