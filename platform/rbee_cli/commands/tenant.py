from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="Customers of this colony.", no_args_is_help=True)

COLUMNS = {"slug": "TENANT", "name": "NAME", "plan": "PLAN", "region": "REGION", "status": "STATUS"}


@app.command(epilog="Example:  rbee tenant create acme --plan pro --region EU")
def create(
    tenant: Annotated[str, typer.Argument(help="Short name: letters, digits, hyphens.")],
    plan: Annotated[str, typer.Option(help="free, pro or enterprise.")] = "free",
    name: Annotated[str, typer.Option(help="The name in full.", show_default="the short name")] = "",
    region: Annotated[str, typer.Option(help="Only hives of this region serve it.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a customer."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"slug": tenant, "name": name, "plan": plan, "region": region}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/tenants", body)
    hint = f"tenant {made['slug']} is there, on plan {made['plan']}; `rbee key create --tenant {made['slug']}` gives it a key"
    Output(as_json=as_json).result(made, hint)


@app.command("list", epilog="Example:  rbee tenant list --json")
def list_tenants(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List customers."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/tenants")
    Output(as_json=as_json).table(rows, COLUMNS, empty="no tenant yet: `rbee tenant create NAME`")
