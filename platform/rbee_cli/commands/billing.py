from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands.usage import money

app = typer.Typer(help="What tenants have, and what they pay.", no_args_is_help=True)

BALANCE_EPILOG = """Examples:

  rbee billing balance

  rbee billing balance --tenant acme --json
"""
COLUMNS = {
    "tenant": "TENANT",
    "mode": "PAYS",
    "state": "STATE",
    "balance": "BALANCE",
    "reserved": "HELD FOR TASKS",
    "available": "AVAILABLE",
}


@app.command(epilog=BALANCE_EPILOG)
def balance(
    tenant: Annotated[str, typer.Option(help="That of this tenant.", show_default="your own")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what a tenant has, what of it is held for tasks, and what more they may cost."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.get("/api/v1/billing/balance", tenant=tenant)["data"]
    output = Output(as_json=as_json)
    output.table(rows if as_json else [_shown(row) for row in rows], COLUMNS, empty="there is no balance")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    amounts = {name: _amount(row, f"{name}_micros") for name in ("balance", "reserved")}
    available = row["available_micros"]
    return (
        row | amounts | {"available": "no limit" if available is None else _amount(row, "available_micros")}
    )


def _amount(row: dict[str, Any], name: str) -> str:
    micros = int(row[name])
    return ("-" if micros < 0 else "") + money({"amount_micros": abs(micros), "currency": row["currency"]})
