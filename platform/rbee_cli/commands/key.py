from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm, secret_from_input

app = typer.Typer(
    help="API keys: inference keys call /v1, management keys administer, reading keys look on.",
    no_args_is_help=True,
)

COLUMNS = {
    "kid": "KEY",
    "name": "NAME",
    "tenant": "TENANT",
    "project": "PROJECT",
    "scopes": "SCOPES",
    "status": "STATUS",
    "created_at": "CREATED",
    "last_used_at": "LAST USED",
    "expires_at": "EXPIRES",
}
CREATE_EPILOG = """Examples:

  rbee key create --tenant acme --name production

  rbee key create --name admin --scope manage

  rbee key create --name batch --model "qwen*" --ip 192.0.2.0/24 --budget-month 25000000

  rbee key create --tenant acme --value -          a key of another gateway, from standard input
"""
UPDATE_EPILOG = """Examples:

  rbee key update 3kTMd9qZ01ab --name staging --model "qwen*" --model rbee-mini

  rbee key update 3kTMd9qZ01ab --any-ip --no-expiry

  rbee key update 3kTMd9qZ01ab --budget-day 5000000 --budget-month none
"""
ROTATE_EPILOG = """Examples:

  rbee key rotate 3kTMd9qZ01ab                     the old value goes on for a day

  rbee key rotate 3kTMd9qZ01ab --overlap 2h

  rbee key rotate 3kTMd9qZ01ab --overlap 0         it ends at once
"""
KILL_EPILOG = """Examples:

  rbee key kill - < leaked.txt

  rbee key kill rbee_live_3kTMd9qZ01ab_…
"""
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

Key = Annotated[str, typer.Argument(help="Its KEY column in `rbee key list`.")]
Name = Annotated[str, typer.Option(help="What it is for.")]
Tenant = Annotated[str, typer.Option(help="Whose it is.", show_default="the operator's tenant")]
Project = Annotated[str, typer.Option(help="A project of the tenant.", show_default="its first")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="inference, manage or read; may be repeated.", show_default="inference"),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Only these models, like qwen*; may be repeated.", show_default="all"),
]
Ips = Annotated[
    list[str] | None,
    typer.Option("--ip", help="Only from there, like 192.0.2.0/24; may be repeated.", show_default="all"),
]
BudgetDay = Annotated[str, typer.Option(help="Millionths of the currency that it may spend a day, or none.")]
BudgetMonth = Annotated[str, typer.Option(help="The same of a month.")]
ExpiresAt = Annotated[str, typer.Option(help="When it ends, like 2027-01-31T00:00:00Z.")]
AllowWeak = Annotated[bool, typer.Option("--allow-weak", help="Also a value that can be guessed.")]


@app.command(epilog=CREATE_EPILOG)
def create(
    name: Name = "",
    tenant: Tenant = "",
    project: Project = "",
    scope: Scopes = None,
    model: Models = None,
    ip: Ips = None,
    budget_day: BudgetDay = "",
    budget_month: BudgetMonth = "",
    expires_at: ExpiresAt = "",
    value: Annotated[
        str, typer.Option(help="A key that exists elsewhere, to go on with here; - reads it.")
    ] = "",
    allow_weak: AllowWeak = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make a key. It is shown this once: only its fingerprint is kept."""
    given = {"name": name, "tenant": tenant, "project": project, "expires_at": expires_at}
    body = {"scopes": scope or ["inference"]} | _without_empty(given) | _rules(model, ip)
    body |= _budget(budget_day, budget_month)
    if value:
        body |= {"value": sys.stdin.readline().strip() if value == "-" else value, "allow_weak": allow_weak}
    _create(body, as_json=as_json, queen_url=queen_url, api_key=api_key)


@app.command("import", epilog="Example:  rbee key import --tenant acme --name production < key.txt")
def import_key(
    name: Name = "",
    tenant: Tenant = "",
    project: Project = "",
    scope: Scopes = None,
    allow_weak: AllowWeak = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Bring a customer's key of another gateway along. It is asked for, or read from standard input; what can be guessed
    is refused."""
    given = {"name": name, "tenant": tenant, "project": project}
    body = {"scopes": scope or ["inference"], "allow_weak": allow_weak} | _without_empty(given)
    body["value"] = secret_from_input("Key of the other gateway")
    _create(body, as_json=as_json, queen_url=queen_url, api_key=api_key, is_known=True)


@app.command("list", epilog="Example:  rbee key list --tenant acme --status active")
def list_keys(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    name: Annotated[str, typer.Option(help="Only those with this in their name.")] = "",
    scope: Annotated[str, typer.Option(help="Only those with this scope.")] = "",
    status: Annotated[str, typer.Option(help="Only active, expired or revoked ones.")] = "",
    all_keys: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List keys; the keys themselves are not known to the queen."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    wanted = {"tenant": tenant, "project": project, "name": name, "scope": scope, "status": status}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/keys", include_revoked=str(all_keys).lower(), **_without_empty(wanted))
    Output(as_json=as_json).table(rows, COLUMNS, empty="no key yet: `rbee key create`")


@app.command(epilog="Example:  rbee key show 3kTMd9qZ01ab")
def show(key: Key, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Show a key, all but its value."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(f"/api/v1/keys/{key}")
    Output(as_json=as_json).fields(found)


@app.command(epilog=UPDATE_EPILOG)
def update(
    key: Key,
    name: Name = "",
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="inference, manage or read; may be repeated.")
    ] = None,
    model: Models = None,
    any_model: Annotated[bool, typer.Option("--any-model", help="All models of the tenant.")] = False,
    ip: Ips = None,
    any_ip: Annotated[bool, typer.Option("--any-ip", help="From anywhere.")] = False,
    budget_day: BudgetDay = "",
    budget_month: BudgetMonth = "",
    expires_at: ExpiresAt = "",
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="It does not end by itself.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change what a key may do. What you do not name stays as it is; queens go by it within a second."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    body: dict[str, Any] = _without_empty({"name": name, "expires_at": expires_at}) | _rules(model, ip)
    body |= _budget(budget_day, budget_month)
    body |= {"scopes": scope} if scope else {}
    body |= {"allowed_models": []} if any_model else {}
    body |= {"allowed_ips": []} if any_ip else {}
    body |= {"expires_at": None} if no_expiry else {}
    if not body:
        raise UsageError("nothing to change: --help shows what can be")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        changed = queen.patch(f"/api/v1/keys/{key}", body)
    Output(as_json=as_json).result(changed, f"{key} is changed: {', '.join(body)}")


@app.command(epilog=ROTATE_EPILOG)
def rotate(
    key: Key,
    overlap: Annotated[
        str, typer.Option(help="How long the old value goes on: 90s, 30m, 2h, 7d.", show_default="24h")
    ] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Give a key another value, shown this once. It keeps its limits; the old value goes on for a while."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output, shown

    body = {"overlap_s": _seconds(overlap)} if overlap else {}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rotated = queen.post(f"/api/v1/keys/{key}/rotate", body)
    output = Output(as_json=as_json)
    output.result(rotated, rotated["key"])
    if sys.stdout.isatty() and not as_json:
        until = rotated["previous"] and shown(rotated["previous"]["valid_until"])
        output.say(f"Shown this once. The old value ends {'at ' + until if until else 'now'}.", "dim")


@app.command(epilog="Example:  rbee key revoke 3kTMd9qZ01ab --yes")
def revoke(
    key: Key,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Revoke a key. Queens refuse it within a second, and end its answers that are under way."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Revoke {key}? Whoever uses it is refused at once.", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        queen.delete(f"/api/v1/keys/{key}")
    Output(as_json=as_json).result({"revoked": key}, f"{key} is revoked")


@app.command(epilog=KILL_EPILOG)
def kill(
    value: Annotated[str, typer.Argument(metavar="[SECRET]", help="The key itself; - reads it.")] = "-",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
) -> None:
    """End a key that leaked. Whoever has it may, and needs no other right. Nobody is told whether it was one."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    key = secret_from_input("Key that leaked") if value == "-" else value
    with QueenClient("management", queen_url=queen_url, api_key=None) as queen:
        answer = queen.post("/api/v1/keys/report-leak", {"key": key})
    Output(as_json=as_json).result(answer, "reported: if it was a key of this queen, it is one no more")


def _create(
    body: dict[str, Any],
    *,
    as_json: bool,
    queen_url: str | None,
    api_key: str | None,
    is_known: bool = False,
) -> None:
    """`is_known`: a value that its owner has; it is shown to programs, which asked for all."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/keys", body)
    output = Output(as_json=as_json)
    output.result(made, f"{made['kid']} of {made['tenant']} has this value" if is_known else made["key"])
    if made.get("warning"):
        print(f"rbee: {made['warning']}", file=sys.stderr)
    if sys.stdout.isatty() and not is_known:
        output.say("Shown this once. Keep it like a password.", "dim")


def _rules(models: list[str] | None, ips: list[str] | None) -> dict[str, Any]:
    return {name: given for name, given in (("allowed_models", models), ("allowed_ips", ips)) if given}


def _budget(day: str, month: str) -> dict[str, Any]:
    budget = {period: _micros(period, text) for period, text in (("day", day), ("month", month)) if text}
    return {"budget": budget} if budget else {}


def _micros(period: str, text: str) -> int | None:
    from rbee_cli.errors import UsageError

    if text == "none":
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--budget-{period} takes a whole number of millionths, such as 25000000, or none")
    return int(text)


def _seconds(text: str) -> int:
    from rbee_cli.errors import UsageError

    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if found is None:
        raise UsageError(f"--overlap takes a time such as 90s, 30m, 2h or 7d, not {text}")
    return int(found[1]) * UNITS_S[found[2]]


def _without_empty(given: dict[str, str]) -> dict[str, Any]:
    return {name: text for name, text in given.items() if text}
