from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

EPILOG = """Examples:

  rbee usage

  rbee usage --tenant acme --limit 200 --json

  rbee usage --model rbee-mini --since 2027-01-01T00:00:00Z
"""

COLUMNS = {
    "ended_at": "ENDED",
    "tenant": "TENANT",
    "model": "MODEL",
    "hive": "HIVE",
    "outcome": "OUTCOME",
    "usage": "USED",
    "amount": "AMOUNT",
    "request_id": "REQUEST",
}


def usage(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    model: Annotated[str, typer.Option(help="Only of this model.")] = "",
    key: Annotated[str, typer.Option(help="Only of this key, by its KEY column.")] = "",
    since: Annotated[str, typer.Option(help="Admitted from then on, like 2027-01-31T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Admitted before then.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List what tasks used and cost, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    given = {"tenant": tenant, "model": model, "key": key, "since": since, "until": until}
    asked = {name: text for name, text in given.items() if text}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/usage", limit=limit, **asked)
    output = Output(as_json=as_json)
    if as_json:
        output.result(rows)
        return
    output.table([row | {"amount": money(row)} for row in rows], COLUMNS, empty="nothing was used yet")


def money(row: dict[str, Any]) -> str:
    """`0.001250 EUR`, exactly."""
    micros = int(row.get("amount_micros") or 0)
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d} {row.get('currency') or ''}".strip()
