"""`rbee audit subscribers`, `subscribe` and `unsubscribe`: checkpoints of the log by mail."""

from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

SUBSCRIBERS = "/gdpr/audit/subscribers"
COLUMNS = {"email": "E-MAIL", "tenant": "TENANT", "created_at": "SINCE", "mailed_at": "MAILED TODAY"}

Tenant = Annotated[str, typer.Option(help="Of which tenant.", show_default="your own")]
Email = Annotated[str, typer.Argument(help="Their E-MAIL column in `rbee member list`.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example:  rbee audit subscribers --tenant acme")(subscribers)
    app.command(epilog="Example:  rbee audit subscribe ann@acme.com")(subscribe)
    app.command(epilog="Example:  rbee audit unsubscribe ann@acme.com")(unsubscribe)


def subscribers(
    tenant: Tenant = "", as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """List who is mailed the checkpoint of each day."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(SUBSCRIBERS, tenant=tenant)
    Output(as_json=as_json).table(rows, COLUMNS, empty="nobody: `rbee audit subscribe E-MAIL`")


def subscribe(
    email: Email,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Mail a member the checkpoint of each day; they keep what nobody can take back."""
    from rbee_cli.client import QueenClient
    from rbee_cli.commands.member import find_member
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post(SUBSCRIBERS, {"member": find_member(queen, email, tenant)["id"]})
    Output(as_json=as_json).result(made, f"{email} is mailed the checkpoint of each day")


def unsubscribe(
    email: Email,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Mail a member no more checkpoints."""
    from rbee_cli.client import QueenClient
    from rbee_cli.commands.member import find_member
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        gone = queen.delete(f"{SUBSCRIBERS}/{find_member(queen, email, tenant)['id']}")
    Output(as_json=as_json).result(gone, f"{email} is mailed no checkpoints")
