"""Price cards as files, and what they would have cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands.price.app import Card, CardName, app

CHANGES = {
    "line": "LINE",
    "what": "WHAT",
    "change": "CHANGE",
    "valid_from": "FROM",
    "before": "BEFORE",
    "after": "AFTER",
}
COMPARED = {
    "tenant": "TENANT",
    "model": "MODEL",
    "was": "COST",
    "would_be": "WOULD COST",
    "difference": "DIFFERENCE",
}

File = Annotated[
    str, typer.Argument(metavar="FILE", help="NAME.yaml or NAME.csv; - is YAML on standard input.")
]


@app.command(
    epilog="Examples:\n\n  rbee price export > prices.yaml\n\n  rbee price export pro-usd --csv > pro.csv"
)
def export(
    card: CardName = "default",
    as_csv: Annotated[bool, typer.Option("--csv", help="In place of YAML.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Print a price card: what holds and what is to come, as `rbee price import` reads it."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    kind = "csv" if as_csv else "yaml"
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(f"/api/v1/price-cards/{card}/export", format=kind)
    if as_json:
        Output(as_json=True).result(found)
    else:
        sys.stdout.write(found["text"])


@app.command(
    "import",
    epilog="Examples:\n\n  rbee price import prices.yaml --dry-run\n\n  rbee price import pro.csv --card pro-usd",
)
def import_prices(
    file: File,
    card: Card = "default",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")
    ] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Set all prices and terms of a file, or none. What it does not name stays."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {**contents(file), "dry_run": dry_run}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.post(f"/api/v1/price-cards/{card}/import", body)
    output = Output(as_json=as_json)
    if as_json:
        output.result(found)
        return
    different = [row for row in found["changes"] if row["change"] != "same"]
    output.table(different, CHANGES, empty=f"{card} says all of that already")
    if different and dry_run:
        output.say("nothing was changed: leave out --dry-run")


WHAT_IF_EPILOG = """Examples:

  rbee price what-if prices.yaml --month 2026-10

  rbee price what-if pro.csv --month 2026-10 --tenant lumon --currency USD --json
"""


@app.command("what-if", epilog=WHAT_IF_EPILOG)
def what_if(
    file: File,
    month: Annotated[str, typer.Option(help="Whose usage, like 2026-10.")],
    tenant: Annotated[str, typer.Option(help="Of this one only.")] = "",
    currency: Annotated[str, typer.Option(help="Of the file.")] = "EUR",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Compare what a month cost with what it would have cost by the prices of a file."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {**contents(file), "month": month, "tenant": tenant, "currency": currency}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.post("/api/v1/prices/what-if", body)
    output = Output(as_json=as_json)
    if as_json:
        output.result(found)
        return
    rows = [shown_row(row) for row in found["rows"]]
    total = shown_row({**found, "tenant": "all", "model": None})
    output.table(
        [*rows, total] if rows else [], COMPARED, empty=f"nothing was charged in {currency} in {month}"
    )
    if others := found["other_currencies"]:
        output.say(f"left out: what was charged in {', '.join(others)}")


def contents(file: str) -> dict[str, str]:
    from rbee_cli.errors import UsageError

    if file == "-":
        return {"text": sys.stdin.read(), "format": "yaml"}
    path = Path(file).expanduser()
    if path.suffix not in (".yaml", ".yml", ".csv"):
        raise UsageError(f"{file} is neither NAME.yaml nor NAME.csv")
    try:
        return {"text": path.read_text(), "format": "csv" if path.suffix == ".csv" else "yaml"}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from None


def shown_row(row: dict[str, Any]) -> dict[str, Any]:
    from rbee_cli.commands.model import decimal_text

    def money(name: str) -> str:
        micros = row[f"{name}_micros"]
        return f"{'-' if micros < 0 else ''}{decimal_text(abs(micros))}"

    return row | {name: money(name) for name in ("was", "would_be", "difference")}
