from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

EPILOG = """Examples:

  rbee usage

  rbee usage --tenant acme --limit 200 --json

  rbee usage --model rbee-mini --since 2027-01-01T00:00:00Z

  rbee usage --by tenant,model --bucket day            added up, of the running month

  rbee usage --by model --month 2027-01 --csv > usage.csv
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
    project: Annotated[str, typer.Option(help="Only of this project, by its id.")] = "",
    outcome: Annotated[str, typer.Option(help="Only of this outcome, like completed.")] = "",
    since: Annotated[str, typer.Option(help="Admitted from then on, like 2027-01-31T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Admitted before then.")] = "",
    month: Annotated[str, typer.Option(help="Add up a month, like 2027-01.")] = "",
    by: Annotated[
        str,
        typer.Option(
            help="Add up by tenant, project, key, model, endpoint, hive, region, outcome; with commas between."
        ),
    ] = "",
    bucket: Annotated[str, typer.Option(help="Add up by hour, day or month.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, all rows of it.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List what tasks used and cost, newest first, or add it up."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output, print_text

    if as_csv and as_json:
        raise UsageError("--csv and --json contradict each other: give one of them")
    is_summed = bool(month or by or bucket)
    given = {
        "tenant": tenant, "model": model, "key": key, "project": project, "outcome": outcome, "since": since,
        "until": until, "month": month, "group_by": by, "bucket": bucket,
    }  # fmt: skip
    asked: dict[str, str | int] = {name: text for name, text in given.items() if text}
    path = "/api/v1/usage/summary" if is_summed else "/api/v1/usage"
    output = Output(as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if as_csv:
            print_text(queen.text(path, format="csv", **asked))
            return
        rows = queen.get(path, **asked)["data"] if is_summed else queen.rows(path, limit=limit, **asked)
    if as_json:
        output.result(rows)
    elif is_summed:
        _show_sums(output, rows, [name.strip() for name in by.split(",") if name.strip()])
    else:
        output.table([row | {"amount": money(row)} for row in rows], COLUMNS, empty="nothing was used yet")


def money(row: dict[str, Any]) -> str:
    """`0.001250 EUR`, exactly."""
    micros = int(row.get("amount_micros") or 0)
    return f"{amount(micros)} {row.get('currency') or ''}".strip()


def amount(micros: int) -> str:
    sign, micros = ("-" if micros < 0 else ""), abs(micros)
    return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _show_sums(output: Any, rows: list[dict[str, Any]], names: list[str]) -> None:
    columns = {"start": "FROM"} if any(row["start"] for row in rows) else {}
    columns |= {name: name.upper() for name in names}
    columns |= {"tasks": "TASKS", "charged_tasks": "CHARGED", "usage": "USED", "amount": "AMOUNT"}
    shown = [row | row["group"] | {"amount": money(row)} for row in rows]
    output.table(shown, columns, empty="nothing was used then")
