from __future__ import annotations

import sys
from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm

app = typer.Typer(help="API keys: inference keys call /v1, management keys administer.", no_args_is_help=True)

COLUMNS = {
    "kid": "KEY",
    "name": "NAME",
    "tenant": "TENANT",
    "project": "PROJECT",
    "scopes": "SCOPES",
    "created_at": "CREATED",
    "expires_at": "EXPIRES",
    "revoked_at": "REVOKED",
}
CREATE_EPILOG = """Examples:

  rbee key create --tenant acme --name production

  rbee key create --name admin --scope manage

  rbee key create --tenant acme --value -          a key of another gateway, from standard input
"""


@app.command(epilog=CREATE_EPILOG)
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose it is.", show_default="the operator's tenant")] = "",
    project: Annotated[str, typer.Option(help="A project of the tenant.", show_default="its first")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="inference or manage.", show_default="inference")
    ] = None,
    expires_at: Annotated[str, typer.Option(help="When it ends, like 2027-01-31T00:00:00Z.")] = "",
    value: Annotated[
        str, typer.Option(help="A key that exists elsewhere, to go on with here; - reads it.")
    ] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make a key. It is shown this once: only its fingerprint is kept."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    given = {
        "name": name,
        "tenant": tenant,
        "project": project,
        "expires_at": expires_at,
        "value": sys.stdin.readline().strip() if value == "-" else value,
    }
    body = {"scopes": scope or ["inference"]} | {field: text for field, text in given.items() if text}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/keys", body)
    output = Output(as_json=as_json)
    output.result(made, made["key"])
    if made.get("warning"):
        print(f"rbee: {made['warning']}", file=sys.stderr)
    if sys.stdout.isatty():
        output.say("Shown this once. Keep it like a password.", "dim")


@app.command("list", epilog="Example:  rbee key list --tenant acme")
def list_keys(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    all_keys: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List keys; the keys themselves are not known to the queen."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/keys", tenant=tenant, include_revoked=str(all_keys).lower())
    Output(as_json=as_json).table(rows, COLUMNS, empty="no key yet: `rbee key create`")


@app.command(epilog="Example:  rbee key revoke 3kTMd9qZ --yes")
def revoke(
    key: Annotated[str, typer.Argument(help="Its KEY column in `rbee key list`.")],
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Revoke a key. Queens refuse it within a second."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Revoke {key}? Whoever uses it is refused at once.", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        queen.delete(f"/api/v1/keys/{key}")
    Output(as_json=as_json).result({"revoked": key}, f"{key} is revoked")
