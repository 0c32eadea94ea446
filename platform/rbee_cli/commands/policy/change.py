"""Bringing a policy to the queen, into force, and out of it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands.policy.files import script_or_rules
from rbee_cli.commands.policy.queen import (
    PATH,
    Expect,
    Tenant,
    Version,
    expecting,
    named,
    open_queen,
    path_of,
)

if TYPE_CHECKING:
    from rbee_cli.output import Output

PUSH_EPILOG = """Examples:

  rbee policy push tiers.rhai --comment "A100s for free customers"

  rbee policy push rules.yaml --activate --tenant acme

  rbee policy push tiers.rhai --activate --expect 7          only if nobody changed it meanwhile
"""
ACTIVATE_EPILOG = "Example:  rbee policy activate 8"
ROLLBACK_EPILOG = "Example:  rbee policy rollback"


def push(
    file: Annotated[Path, typer.Argument(help="A script (.rhai) or rules (.yaml).")],
    activate: Annotated[bool, typer.Option("--activate", help="Put it in force at once.")] = False,
    comment: Annotated[str, typer.Option(help="What it is for, for the log.")] = "",
    on_error: Annotated[
        str | None,
        typer.Option(
            help="For the operator: what an error of route_task means, refuse or least_loaded.",
            show_default="as it is",
        ),
    ] = None,
    expect: Expect = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Bring a policy to the queen, as a version. It is tried in a process of its own first."""
    from rbee_cli.errors import CliError
    from rbee_cli.output import Output

    body: dict[str, Any] = script_or_rules(file) | {
        "activate": activate,
        "comment": comment,
        "tenant": tenant,
    }
    if on_error is not None:
        body["on_error"] = on_error
    with open_queen(queen_url, api_key) as queen:
        row = queen.post(PATH, body | expecting(expect))
    output = Output(as_json=as_json)
    for finding in row["findings"]:
        _warn(output, finding)
    if row["disabled_at"]:
        raise CliError(f"{named(row)} is disabled: {row['disabled_reason']}")
    state = "in force" if row["status"] == "active" else "kept as a draft"
    after = "" if row["status"] == "active" else f"; `rbee policy dry-run {row['number']}` tries it"
    output.result(row, f"{named(row)} is {state}{after}")


def activate(
    version: Version,
    expect: Expect = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Put a version in force, in every process of the queen within a second."""
    from rbee_cli.output import Output

    with open_queen(queen_url, api_key) as queen:
        row = queen.post(path_of(queen, version, tenant, "activate"), expecting(expect))
    Output(as_json=as_json).result(row, f"{named(row)} is in force")


def rollback(
    expect: Expect = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Put the version in force that was before. Again: the one before that, and before the first the default."""
    from rbee_cli.output import Output

    with open_queen(queen_url, api_key) as queen:
        row = queen.post(f"{PATH}/rollback", {"tenant": tenant} | expecting(expect))
    said = f"{named(row)} is in force again" if row else "no version is in force: the default decides again"
    Output(as_json=as_json).result(row, said)


def _warn(output: Output, finding: dict[str, Any]) -> None:
    output.say(
        f"warning: {finding['function']} breaks on {finding['count']} of {finding['of']} trials: "
        f"{finding['problem']}; the first was {finding['examples'][0]}",
        "yellow",
    )
