from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="What somebody has to see to.", no_args_is_help=True)

COLUMNS = {
    "id": "ALERT",
    "kind": "KIND",
    "object_ref": "ABOUT",
    "message": "MESSAGE",
    "count": "TIMES",
    "last_at": "LAST",
}


@app.command("list", epilog="Example:  rbee alert list --tenant acme --all")
def list_alerts(
    tenant: Annotated[str, typer.Option(help="Those of this tenant.", show_default="your own")] = "",
    all_alerts: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List open alerts, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/alerts", tenant=tenant, state="all" if all_alerts else "open")
    columns = COLUMNS | ({"closed_at": "CLOSED"} if all_alerts else {})
    Output(as_json=as_json).table(rows, columns, empty="nothing to see to")


@app.command(epilog="Example:  rbee alert close 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a")
def close(
    alert: Annotated[str, typer.Argument(help="Its ALERT column in `rbee alert list`.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Close an alert. If its cause goes on, another one opens."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        row = queen.post(f"/api/v1/alerts/{quote(alert, safe='')}/close", {})
    Output(as_json=as_json).result(row, f"{alert} is closed")
