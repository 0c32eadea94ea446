from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="What tenants, projects, keys and end users may use.", no_args_is_help=True)

COLUMNS = {
    "level": "LEVEL",
    "limit": "LIMIT",
    "allowed": "ALLOWED",
    "used": "USED",
    "remaining": "LEFT",
    "resets_in_s": "RESETS IN S",
    "soft": "SOFT",
}
LEVELS = ("tenant", "subject", "project", "key")
RATES = ("requests_per_minute", "tokens_per_minute", "concurrent_tasks")
UNITS = ("requests", "tokens", "images", "audio_seconds", "video_seconds", "gpu_seconds")
NONE = "none"
Level = Annotated[str, typer.Argument(help="tenant, subject (each end user of a tenant), project or key.")]
Name = Annotated[str, typer.Argument(help="The tenant, the project's id, or the key's KEY column.")]
SET_EPILOG = """Examples:

  rbee limit set tenant acme requests_per_minute=600 tokens_per_day=5000000

  rbee limit set key 3kTMd9qZ01ab spend_micros_per_month=25000000 --soft

  rbee limit set subject acme requests_per_day=100          each end user of acme

  rbee limit set project 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a tokens_per_month=none
"""


@app.command("list", epilog="Example:  rbee limit list --json")
def list_limits(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List what applies to your key, and how much of it is used."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/limits")
    Output(as_json=as_json).table(rows, COLUMNS, empty="no limit applies to this key")


@app.command(epilog="Example:  rbee limit show tenant acme")
def show(
    level: Level,
    name: Name,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what is set at one level. A tenant's limit that is not there is its plan's, others are none."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        Output(as_json=as_json).fields(queen.get(_path(level, name)))


@app.command("set", epilog=SET_EPILOG)
def set_limits(
    level: Level,
    name: Name,
    limits: Annotated[
        list[str] | None,
        typer.Argument(
            help="LIMIT=NUMBER, or LIMIT=none to take one away: requests_per_minute, tokens_per_minute,"
            " concurrent_tasks, or UNIT_per_day and UNIT_per_month."
        ),
    ] = None,
    soft: Annotated[
        bool | None, typer.Option("--soft/--hard", help="Warn, or refuse.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Set limits. Those that you do not name stay as they are."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    path = _path(level, name)
    if not limits and soft is None:
        raise UsageError("name a limit to set, such as requests_per_minute=600")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        body = limits_body(queen.get(path), limits or [])
        if soft is not None:
            body["soft"] = soft
        found = queen.patch(path, body)
    Output(as_json=as_json).result(found, f"the limits of {level} {name} are set")


def _path(level: str, name: str) -> str:
    from rbee_cli.errors import UsageError

    if level not in LEVELS:
        raise UsageError(f"the level is one of {', '.join(LEVELS)}, not {level}")
    return f"/api/v1/limits/{level}/{quote(name, safe='')}"


def limits_body(before: dict[str, Any], limits: list[str]) -> dict[str, Any]:
    """Of NAME=NUMBER and NAME=none: a change of `before`, in which a unit keeps its other period."""
    from rbee_cli.errors import UsageError

    body: dict[str, Any] = {}
    for each in limits:
        name, _, text = each.partition("=")
        unit, _, period = name.rpartition("_per_")
        value = _number(name, text)
        if name in RATES:
            body[name] = value
        elif period in ("day", "month") and unit in UNITS:
            quantities = body.setdefault("quantities", {})
            quantities.setdefault(unit, dict(before["quantities"].get(unit, {})))[period] = value
        elif period in ("day", "month") and unit == "spend_micros":
            body.setdefault(unit, dict(before[unit]))[period] = value
        else:
            known = [*RATES, *(f"{unit}_per_day" for unit in (*UNITS, "spend_micros"))]
            raise UsageError(f"{name} is no limit; there are {', '.join(known)}, and ..._per_month")
    return body


def _number(name: str, text: str) -> int | None:
    from rbee_cli.errors import UsageError

    if text == NONE:
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{name} takes a whole number or none, such as {name}=1000")
    return int(text)
