"""Looking at a policy and at what was done with it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands.policy.queen import PATH, Tenant, Version, id_of, open_queen, path_of

LOG_EPILOG = """Examples:

  rbee policy log                                            the versions, newest first

  rbee policy log --events --tenant acme                     what was done with them, and by whom
"""
SHOW_EPILOG = """Examples:

  rbee policy show                                           what is in force

  rbee policy show 7 --source > seven.rhai
"""
DIFF_EPILOG = """Examples:

  rbee policy diff 8                                         to the version before

  rbee policy diff 8 --against 5

  rbee policy diff 8 --against active
"""
COLUMNS = {
    "number": "VERSION",
    "state": "STATE",
    "created_at": "SAVED",
    "author": "BY",
    "short": "SHA256",
    "comment": "COMMENT",
}
EVENT_COLUMNS = {"at": "AT", "event": "EVENT", "number": "VERSION", "actor": "BY"}


def log(
    events: Annotated[bool, typer.Option("--events", help="What was done, not the versions.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 50,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List the versions of a policy, or what was done with them."""
    from rbee_cli.output import Output

    with open_queen(queen_url, api_key) as queen:
        rows = queen.rows(f"{PATH}/log" if events else PATH, limit=limit, tenant=tenant)
    shown = rows if as_json else [_shown(row) for row in rows]
    Output(as_json=as_json).table(
        shown, EVENT_COLUMNS if events else COLUMNS, empty="no version yet: `rbee policy push FILE`"
    )


def show(
    version: Annotated[
        str, typer.Argument(help="Its VERSION column in `rbee policy log`.", show_default="what is in force")
    ] = "",
    source: Annotated[bool, typer.Option("--source", help="The script alone.")] = False,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show a version, or what is in force and where that comes from."""
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output, shown

    if source and not version:
        raise UsageError("--source takes a version: `rbee policy show 7 --source`")
    with open_queen(queen_url, api_key) as queen:
        row = queen.get(
            path_of(queen, version, tenant) if version else f"{PATH}/settings", **_of(version, tenant)
        )
    if source and not as_json:
        print(row["source"], end="" if row["source"].endswith("\n") else "\n")
        return
    facts = {name: value for name, value in row.items() if name not in {"object", "source", "rules"}}
    lines = [f"{name}: {shown(value)}" for name, value in facts.items()]
    if version:
        lines += ["", row["rules"] or row["source"]]
    Output(as_json=as_json).result(row, "\n".join(lines))


def diff(
    version: Version,
    against: Annotated[
        str, typer.Option(help="A version, or `active`.", show_default="the version before")
    ] = "",
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what a version changes."""
    from rbee_cli.output import Output

    with open_queen(queen_url, api_key) as queen:
        other = against if against in {"", "active"} else id_of(queen, against, tenant)
        found = queen.get(path_of(queen, version, tenant, "diff"), against=other)
    Output(as_json=as_json).result(found, found["diff"].rstrip("\n") or "there is no difference")


def _of(version: str, tenant: str) -> dict[str, str]:
    """A version says itself whose it is."""
    return {} if version else {"tenant": tenant}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    if "event" in row:
        return row | {"number": row["details"].get("number")}
    state = "disabled" if row["disabled_at"] else row["status"]
    return row | {"state": "file" if row["origin"] == "file" and state == "draft" else state,
                  "short": row["sha256"][:12]}  # fmt: skip
