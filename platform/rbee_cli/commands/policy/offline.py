"""Checking and trying a policy without a queen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rbee_cli.arguments import AsJson
from rbee_cli.commands.policy.files import blamed, line_of, read_file

if TYPE_CHECKING:
    from rbee_policy.problems import Problem

CHECK_EPILOG = """Examples:

  rbee policy check scheduler.rhai

  rbee policy check policies/*.rhai policies/*.yaml          in CI: exits with 2 when one is wrong

  rbee policy check rules.yaml --print > rules.rhai          the script that rules are written out as
"""
TEST_EPILOG = """Examples:

  rbee policy test scheduler.rhai                            by the cases in scheduler.cases.yaml

  rbee policy test rules.yaml --cases more.yaml --json
"""
COLUMNS = {"result": "RESULT", "case": "CASE", "got": "GOT", "expected": "EXPECTED"}


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Scripts (.rhai), rules or cases (.yaml).", metavar="FILE…")
    ],
    print_script: Annotated[
        bool, typer.Option("--print", help="Print the script, for rules the one they are written out as.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check scripts, rules and cases without a queen. Exits with 2 when something is wrong."""
    from rbee_cli.output import print_json
    from rbee_policy.files import problems_in, script_in

    found = []
    for path in files:
        text = read_file(path)
        problems = problems_in(path.name, text)
        found.append(
            {"file": str(path), "valid": not problems, "problems": [_shown(each) for each in problems]}
        )
        if as_json:
            continue
        for problem in problems:
            print(line_of(path, problem), file=sys.stderr)
        if not problems and not print_script:
            print(f"{path}: ok")
        elif not problems:
            print(script_in(path.name, text), end="")
    if as_json:
        print_json(found)
    if not all(each["valid"] for each in found):
        raise typer.Exit(2)


def run_cases_of(
    file: Annotated[Path, typer.Argument(help="A script (.rhai) or rules (.yaml).")],
    cases: Annotated[
        Path | None,
        typer.Option(help="A YAML file of cases.", show_default="FILE with .cases.yaml as suffix"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the cases of a policy without a queen. Exits with 1 when one fails, with 2 when a file is wrong."""
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output
    from rbee_policy.case_files import read_cases
    from rbee_policy.cases import run_cases
    from rbee_policy.files import cases_beside, script_in
    from rbee_policy.language import compile_policy
    from rbee_policy.problems import Invalid

    path = cases or Path(cases_beside(str(file)))
    policy = read_file(file)
    if cases is None and not path.is_file():
        raise UsageError(f"there are no cases at {path}: write some, or name them by --cases")
    written = read_file(path)
    wrong = file
    try:
        script = compile_policy(script_in(file.name, policy))
        wrong = path
        read = read_cases(written)
    except Invalid as invalid:
        raise blamed(wrong, invalid) from None
    results = run_cases(script, read)
    rows = [
        {
            "result": "ok" if result.passed else "FAILED",
            "case": result.case.name,
            "got": result.got,
            "expected": result.case.expected.text,
            "line": result.case.line,
        }
        for result in results
    ]
    failed = sum(not result.passed for result in results)
    output = Output(as_json=as_json)
    output.table(rows, COLUMNS, empty="")
    output.say(f"{len(results) - failed} of {len(results)} cases passed", "red" if failed else "green")
    if failed:
        raise typer.Exit(1)


def _shown(problem: Problem) -> dict[str, Any]:
    return {"line": problem.line, "column": problem.column, "message": problem.message}
