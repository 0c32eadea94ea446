from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm, pairs

app = typer.Typer(help="The models that this colony serves, and where.", no_args_is_help=True)

COLUMNS = {
    "name": "MODEL",
    "type": "TYPE",
    "engine": "ENGINE",
    "source": "SOURCE",
    "hives": "HIVES",
    "ready_workers": "READY",
    "price": "PER MILLION TOKENS (IN / OUT)",
}
ADD_EPILOG = """Examples:

  rbee model add llama-3-405b --hive gpu-node-03            a model of the catalog, on one more hive

  rbee model add Qwen/Qwen3-0.6B-GGUF --hive gpu-node-01    from Hugging Face

  rbee model add Qwen/Qwen3-0.6B-GGUF:Qwen3-0.6B-Q8_0.gguf --hive gpu-node-01

  rbee model add /models/my-model.gguf --hive gpu-node-01 --name my-model --input-price 0.20 --output-price 0.80
"""


@app.command(epilog=ADD_EPILOG)
def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH|HF_ID|NAME", help="A file on the hive, a Hugging Face id, or a model's name."
        ),
    ],
    hive: Annotated[
        list[str] | None, typer.Option(help="Where it runs; may be given again.", show_default="the only one")
    ] = None,
    name: Annotated[str, typer.Option(help="What clients call it.", show_default="from the source")] = "",
    input_price: Annotated[str, typer.Option(help="Per million tokens read, like 0.20.")] = "",
    output_price: Annotated[str, typer.Option(help="Per million tokens written, like 0.80.")] = "",
    currency: Annotated[str, typer.Option(help="Of the prices.", show_default="the colony's")] = "",
    free: Annotated[bool, typer.Option("--free", help="It costs nothing.")] = False,
    engine: Annotated[str, typer.Option(help="What runs it.", show_default="by the source")] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the engine, like context_tokens=8192.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is ready.")] = False,
    timeout_s: Annotated[int, typer.Option(help="How long to wait, in seconds.")] = 3600,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Serve a model on a hive, and wait until it answers."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output
    from rbee_cli.waiting import wait_for_model

    output = Output(as_json=as_json)
    body: dict[str, Any] = {
        "source": full_source(source),
        "options": pairs(option or [], "option"),
        "free": free,
        "name": name,
        "currency": currency,
    }
    body |= {field: given for field, given in (("engine", engine), ("hives", hive)) if given}
    if prices := read_prices(input_price, output_price, free=free):
        body["prices"] = prices
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        model = queen.post("/api/v1/models", body)
        where = hive or model["hives"]
        output.say(f"{model['name']} is placed on {', '.join(where)}")
        if not no_wait:
            model = wait_for_model(queen, output, model["name"], where, timeout_s=timeout_s)
    if as_json:
        output.result(model)


@app.command("list", epilog="Example:  rbee model list --json")
def list_models(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List the catalog."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/models")
    output = Output(as_json=as_json)
    if as_json:
        output.result(rows)
        return
    shown = [row | {"price": price_text(row)} for row in rows]
    output.table(shown, COLUMNS, empty="no model yet: `rbee model add`")


@app.command(epilog="Example:  rbee model remove llama-3-405b --hive gpu-node-03")
def remove(
    model: Annotated[str, typer.Argument(help="Its name.")],
    hive: Annotated[list[str] | None, typer.Option(help="From this hive only; may be given again.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take a model out of the catalog, or off a hive. Its bills stay."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    where = f"from {', '.join(hive)}" if hive else "from every hive and the catalog"
    confirm(f"Remove {model} {where}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        path = f"/api/v1/models/{quote(model, safe='')}"
        for one in hive or [""]:
            queen.delete(path + (f"?hive={quote(one, safe='')}" if one else ""))
    Output(as_json=as_json).result({"removed": model, "hives": hive or []}, f"{model} is removed {where}")


def full_source(source: str) -> str:
    """A file that lies here is named by its whole path; everything else is for the queen to make sense of."""
    path = Path(source).expanduser()
    return (
        str(path.resolve()) if path.exists() and (source.startswith((".", "~")) or path.is_file()) else source
    )


def read_prices(input_price: str, output_price: str, *, free: bool) -> dict[str, int] | None:
    """Micro-units for each million tokens; None when no price was said."""
    from rbee_cli.errors import UsageError

    if free and (input_price or output_price):
        raise UsageError("--free and a price contradict each other: give one of them")
    if bool(input_price) != bool(output_price):
        raise UsageError("--input-price and --output-price go together; 0 is a price")
    if not input_price:
        return None
    return {"prompt_tokens": micros(input_price), "completion_tokens": micros(output_price)}


def micros(text: str) -> int:
    """`0.25` is 250000. Exactly, or not at all."""
    from rbee_cli.errors import UsageError

    try:
        amount = Decimal(text) * 1_000_000
        if amount.is_finite() and amount >= 0 and amount == amount.to_integral_value() and amount < 10**15:
            return int(amount)
    except InvalidOperation:
        pass
    raise UsageError(f"{text!r} is no price: write it like 0.25, with at most six digits after the point")


def price_text(model: dict[str, Any]) -> str:
    if model["is_free"]:
        return "free"
    if not model["prices"]:
        return "-"
    amounts = " / ".join(
        decimal_text(model["prices"].get(unit, 0)) for unit in ("prompt_tokens", "completion_tokens")
    )
    return f"{amounts} {model['currency']}"


def decimal_text(amount_micros: int) -> str:
    whole, fraction = divmod(amount_micros, 1_000_000)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"
