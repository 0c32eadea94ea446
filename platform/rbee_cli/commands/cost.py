from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(
    help="What your GPUs cost, what tasks cost by that, and what others would have asked.",
    no_args_is_help=True,
)
list_price = typer.Typer(
    help="What providers ask in public, as you read it there. rbee brings no prices of others along.",
    no_args_is_help=True,
)
app.add_typer(list_price, name="list-price")

Month = Annotated[str, typer.Option(help="Like 2027-01.", show_default="the running one")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
CARDS = {
    "target": "FOR", "version": "VERSION", "valid_from": "FROM", "kwh": "KWH", "watts": "WATTS (BUSY / IDLE)",
    "bought": "BOUGHT FOR", "months": "MONTHS", "hosting": "HOSTING A MONTH", "currency": "CURRENCY", "note": "NOTE",
}  # fmt: skip
REPORT = {
    "group": "", "tasks": "TASKS", "revenue": "REVENUE", "busy": "BUSY COST", "waiting": "WAITING COST", "cost": "COST",
    "margin": "MARGIN", "margin_percent": "MARGIN %", "currency": "CURRENCY",
}  # fmt: skip
GPUS = {
    "gpu": "GPU", "utilisation_percent": "BUSY %", "present": "HOURS THERE", "busy": "HOURS BUSY", "cost": "COST",
    "unallocated": "OF NOBODY", "currency": "CURRENCY", "source": "KNOWN BY",
}  # fmt: skip
PRICES = {
    "provider": "PROVIDER", "offer": "OFFER", "model": "COMPARED WITH", "unit": "UNIT", "price": "PER MILLION",
    "currency": "CURRENCY", "seen_on": "SEEN", "source": "SOURCE",
}  # fmt: skip
HOUR_MS = 3_600_000
SET_EPILOG = """Examples:

  rbee cost set all --kwh 0.30 --busy-w 350 --idle-w 30 --price 1800 --months 36

  rbee cost set gpu-node-01:0 --kwh 0.30 --tariff 22-6=0.22 --busy-w 700 --idle-w 90 --hosting 120

Amounts are those of each GPU. What a card leaves out is nothing; a GPU without a card is known by the labels
cost_per_hour, electricity_price and power_w of its hive.
"""


@app.command("set", epilog=SET_EPILOG)
def set_cost(
    target: Annotated[str, typer.Argument(help="all, a hive, or one GPU of it like gpu-node-01:0.")],
    kwh: Annotated[str, typer.Option(help="Price of a kWh, like 0.30.")] = "0",
    tariff: Annotated[
        list[str] | None, typer.Option(help="Another price of a kWh in hours of UTC, like 22-6=0.22.")
    ] = None,
    busy_w: Annotated[int, typer.Option(min=0, help="Watts at work.")] = 0,
    idle_w: Annotated[int, typer.Option(min=0, help="Watts at rest.")] = 0,
    price: Annotated[str, typer.Option(help="What it was bought for.")] = "0",
    residual: Annotated[str, typer.Option(help="What it will be worth after --months.")] = "0",
    months: Annotated[int, typer.Option(min=0, help="Over which the price is written off.")] = 0,
    bought: Annotated[str, typer.Option(help="When, like 2027-01-31.", show_default="when this begins")] = "",
    hosting: Annotated[str, typer.Option(help="Rent, network, cooling: a month.")] = "0",
    currency: Annotated[str, typer.Option(help="Of all of these.")] = "EUR",
    since: Annotated[str, typer.Option(help="From when on.", show_default="now")] = "",
    note: Annotated[str, typer.Option(help="For you.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Say what GPUs cost from now on. What was before costs what it cost then."""
    from rbee_cli.client import QueenClient
    from rbee_cli.commands.model import micros
    from rbee_cli.output import Output

    body: dict[str, Any] = {
        "target": target, "kwh_micros": micros(kwh), "tariff": [_tariff(text) for text in tariff or []],
        "busy_w": busy_w, "idle_w": idle_w, "price_micros": micros(price), "residual_micros": micros(residual),
        "months": months, "hosting_micros": micros(hosting), "currency": currency, "note": note,
    }  # fmt: skip
    body |= {name: text for name, text in (("bought_on", bought), ("valid_from", since)) if text}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/costs/gpus", body)
    Output(as_json=as_json).result(made, f"version {made['version']} of what {made['target']} costs")


@app.command(epilog="Example:  rbee cost show")
def show(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List the cards of what GPUs cost, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/costs/gpus")
    output = Output(as_json=as_json)
    if as_json:
        output.result(rows)
        return
    output.table(
        [row | _card(row) for row in rows], CARDS, empty="nobody said what GPUs cost: `rbee cost set`"
    )


REPORT_EPILOG = """Examples:

  rbee cost report

  rbee cost report --by tenant --month 2027-01 --csv > margins.csv
"""


@app.command(epilog=REPORT_EPILOG)
def report(
    by: Annotated[str, typer.Option(help="model, tenant, hive or gpu.")] = "model",
    month: Month = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show cost, revenue and margin, and how busy each GPU was."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output, print_text

    asked = {"by": by} | ({"month": month} if month else {})
    output = Output(as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if as_csv:
            print_text(queen.text("/api/v1/costs/report", format="csv", **asked))
            return
        found = queen.get("/api/v1/costs/report", **asked)
    if as_json:
        output.result(found)
        return
    totals = [row | {"group": "TOTAL"} for row in found["totals"]]
    columns = REPORT | {"group": by.upper()}
    output.table([_row(row) for row in [*found["rows"], *totals]], columns, empty="nothing ran then")
    output.say()
    output.table([_gpu(row) for row in found["gpus"]], GPUS, empty="no GPU was there then")
    for row in found["beside_tasks"]:
        output.say(
            f"beside tasks: {row['kind']} of {row['tenant']}: {_money(row['revenue_micros'])} {row['currency']}"
        )
    output.say("measured: hours there and busy, engine time; allocated: cost, by engine time on the same GPU")


@app.command(epilog="Example:  rbee cost utilisation --bucket hour --csv")
def utilisation(
    bucket: Annotated[str, typer.Option(help="hour or day.")] = "day",
    month: Month = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show how busy each GPU was, of the time that it was there."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output, print_text

    asked = {"bucket": bucket} | ({"month": month} if month else {})
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if as_csv:
            print_text(queen.text("/api/v1/costs/utilisation", format="csv", **asked))
            return
        rows = queen.get("/api/v1/costs/utilisation", **asked)["data"]
    shown = (
        rows
        if as_json
        else [row | {"there": _hours(row["present_ms"]), "busy": _hours(row["busy_ms"])} for row in rows]
    )
    columns = {
        "start": "FROM",
        "gpu": "GPU",
        "percent": "BUSY %",
        "there": "HOURS THERE",
        "busy": "HOURS BUSY",
    }
    Output(as_json=as_json).table(shown, columns, empty="no GPU was there then")


COMPARE_EPILOG = """Example:

  rbee cost compare --month 2027-01

Every input is shown: quantities are what was charged, prices are those of `rbee cost list-price`, own costs those of
`rbee cost report`. What has no list price, or no cost, is left out of both sides and named.
"""


@app.command(epilog=COMPARE_EPILOG)
def compare(
    month: Month = "", as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Work out what a month would have cost at list prices."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.get("/api/v1/costs/compare", **({"month": month} if month else {}))["data"]
    output = Output(as_json=as_json)
    if as_json:
        output.result(rows)
    elif not rows:
        output.say("there is no list price to compare with: `rbee cost list-price set`")
    for row in [] if as_json else rows:
        _compared(output, row)


PRICE_EPILOG = """Example:

  rbee cost list-price set ExampleCloud --model rbee-mini --unit prompt_tokens --price 0.15 \\
      --source https://example.com/pricing --offer small-1
"""


@list_price.command("set", epilog=PRICE_EPILOG)
def set_price(
    provider: Annotated[str, typer.Argument(help="Who asks it.")],
    model: Annotated[str, typer.Option(help="Ours that it is compared with.")],
    unit: Annotated[str, typer.Option(help="Of usage, like prompt_tokens.")],
    price: Annotated[str, typer.Option(help="For a million of them, like 0.15.")],
    source: Annotated[str, typer.Option(help="Where you read it.")],
    offer: Annotated[str, typer.Option(help="Their name of it.")] = "",
    currency: Annotated[str, typer.Option(help="Of the price.")] = "EUR",
    seen: Annotated[str, typer.Option(help="When you read it.", show_default="today")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Enter what a provider asks in public. It holds from then on, until a later one."""
    from rbee_cli.client import QueenClient
    from rbee_cli.commands.model import micros
    from rbee_cli.output import Output

    body: dict[str, Any] = {
        "provider": provider, "model": model, "unit": unit, "micros_per_million": micros(price), "currency": currency,
        "source": source,
    }  # fmt: skip
    body |= {name: text for name, text in (("offer", offer), ("seen_on", seen)) if text}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/costs/list-prices", body)
    Output(as_json=as_json).result(
        made, f"{provider} asks {price} {currency} for a million {unit}, as of {made['seen_on']}"
    )


@list_price.command("list", epilog="Example:  rbee cost list-price list")
def list_prices(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List what you entered, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/costs/list-prices")
    shown = rows if as_json else [row | {"price": _money(row["micros_per_million"])} for row in rows]
    Output(as_json=as_json).table(shown, PRICES, empty="no list price yet: `rbee cost list-price set`")


def _compared(output: Any, row: dict[str, Any]) -> None:
    output.say(f"{row['provider']}, in {row['currency']}", style="bold")
    for line in row["lines"]:
        output.say(
            f"  {line['model']}: {line['quantity']} {line['unit']} x {_money(line['micros_per_million'])} a million"
            f" = {_money(line['amount_micros'])}   ({line['offer']}, {line['source']}, seen {line['seen_on']})"
        )
    for cost in row["own_costs"]:
        output.say(f"  {cost['model']}: {_money(cost['cost_micros'])} on your own GPUs")
    for left in row["left_out"]:
        output.say(f"  {left['model']}: left out, {left['why']}")
    theirs, own = _money(row["list_micros"]), _money(row["own_micros"])
    if row["cheaper_percent"] is None:
        output.say("  nothing to compare")
        return
    output.say(
        f"  list {theirs}, own {own}: ({theirs} - {own}) / {theirs} = {row['cheaper_percent']} % cheaper"
    )


def _tariff(text: str) -> dict[str, int]:
    from rbee_cli.commands.model import micros
    from rbee_cli.errors import UsageError

    hours, _, price = text.partition("=")
    first, dash, last = hours.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and price):
        raise UsageError(f"--tariff takes hours and a price, like 22-6=0.22, not {text!r}")
    return {"from_hour": int(first), "to_hour": int(last), "kwh_micros": micros(price)}


def _card(row: dict[str, Any]) -> dict[str, Any]:
    tariff = "".join(
        f", {each['from_hour']}-{each['to_hour']}: {_money(each['kwh_micros'])}" for each in row["tariff"]
    )
    return {
        "kwh": f"{_money(row['kwh_micros'])}{tariff}",
        "watts": f"{row['busy_w']} / {row['idle_w']}",
        "bought": _money(row["price_micros"]),
        "hosting": _money(row["hosting_micros"]),
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    names = {
        "revenue": "revenue",
        "busy": "busy_cost",
        "waiting": "waiting_cost",
        "cost": "cost",
        "margin": "margin",
    }
    return row | {short: _money(row[f"{name}_micros"]) for short, name in names.items()}


def _gpu(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "present": _hours(row["present_ms"]),
        "busy": _hours(row["busy_ms"]),
        "cost": _money(row["cost_micros"]),
        "unallocated": _money(row["unallocated_micros"]),
    }


def _hours(ms: int) -> str:
    return f"{ms / HOUR_MS:.2f}"


def _money(micros: int) -> str:
    from rbee_cli.commands.usage import amount

    return amount(micros)
