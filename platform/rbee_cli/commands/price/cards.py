"""Prices of models, on cards."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm
from rbee_cli.commands.price.app import Card, CardName, From, app, priced, said_terms

PAID = {"model": "MODEL", "type": "TYPE", "price": "PRICE"}
CARDS = {"slug": "CARD", "name": "NAME", "currency": "CURRENCY", "plan": "PLAN"}
ON_CARD = {"model": "MODEL", "price": "PRICE", "version": "VERSION", "valid_from": "FROM"}
VERSIONS = {**ON_CARD, "state": "STATE", "id": "ID"}
TERMS = {"what": "TERMS OF A MONTH", "is": ""}


@app.command("list", epilog="Examples:\n\n  rbee price list\n\n  rbee price list --tenant lumon --json")
def list_prices(
    tenant: Annotated[str, typer.Option(help="For the operator: what this one pays.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what you pay for each model that you may use."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get("/api/v1/prices", **({"tenant": tenant} if tenant else {}))
    output = Output(as_json=as_json)
    if as_json:
        output.result(found)
        return
    output.table([priced(row) for row in found["data"]], PAID, empty="no model has a price")
    if terms := said_terms(found["terms"]):
        output.say()
        output.table(terms, TERMS, empty="")


@app.command(epilog="Example:  rbee price cards")
def cards(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List price cards. The one without a plan is for everybody whose plan has none."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/price-cards")
    Output(as_json=as_json).table(rows, CARDS, empty="no price card yet: `rbee price set` makes the first")


@app.command(epilog="Example:  rbee price create pro-usd --plan pro --currency USD")
def create(
    card: Annotated[str, typer.Argument(metavar="CARD", help="Short name: letters, digits, hyphens.")],
    plan: Annotated[str, typer.Option(help="Whose tenants pay its prices.")],
    name: Annotated[str, typer.Option(help="The name in full.", show_default="the short name")] = "",
    currency: Annotated[str, typer.Option(help="Of all its prices.")] = "EUR",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a price card for a plan. What is not on it costs what it costs everybody."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"slug": card, "plan": plan, "name": name, "currency": currency}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/price-cards", body)
    Output(as_json=as_json).result(made, f"price card {card} is there: `rbee price set MODEL --card {card}`")


@app.command(epilog="Examples:\n\n  rbee price show\n\n  rbee price show pro-usd --versions")
def show(
    card: CardName = "default",
    versions: Annotated[
        bool, typer.Option("--versions", help="All there were, are and will be, newest first.")
    ] = False,
    model: Annotated[str, typer.Option(help="Versions of this model only.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show a price card: the prices and terms that hold."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    path, output = f"/api/v1/price-cards/{card}", Output(as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if versions or model:
            asked: dict[str, str | int] = {"model": model} if model else {}
            rows = queen.rows(f"{path}/prices", limit=1000, **asked)
            output.table([priced(row) for row in rows], VERSIONS, empty=f"{card} has no price yet")
            return
        found = queen.get(path)
    if as_json:
        output.result(found)
        return
    output.table([priced(row) for row in found["prices"]], ON_CARD, empty=f"{card} has no price yet")
    if terms := said_terms(found["terms"]):
        output.say()
        output.table(terms, TERMS, empty="")


SET_EPILOG = """Examples:

  rbee price set llama-3-405b prompt_tokens=0.50 cached_tokens=0.05 completion_tokens=1.50

  rbee price set flux images=0.04 images_1024x1024=0.03

  rbee price set whisper audio_ms='0.006 per minute' --from 2027-01-01

  rbee price set llama-3-405b engine_ms='1.20 per GPU hour' --card pro-usd

  rbee price set rbee-mini --free

Units: prompt_tokens, cached_tokens, completion_tokens (per 1M); images, images_WIDTHxHEIGHT, requests (each);
pixel_steps (per megapixel step); audio_ms, video_ms, engine_ms (per hour). Say `per …` for another one.
"""


@app.command("set", epilog=SET_EPILOG)
def set_price(
    model: Annotated[str, typer.Argument(help="Its name; '*' is every one that has none of its own.")],
    prices: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT=PRICE", help="All that it costs.")
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="It costs nothing.")] = False,
    card: Card = "default",
    begins: From = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Set what a model costs: a further version. What was admitted before costs what it cost then."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body: dict[str, Any] = {"model": model, "prices": said_prices(prices or []), "free": free}
    body |= {"valid_from": moment(begins)} if begins else {}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        row = queen.post(f"/api/v1/price-cards/{card}/prices", body)
    when = f" from {row['valid_from'][:10]}" if row["state"] == "future" else ""
    Output(as_json=as_json).result(row, f"{model} costs{when}: {priced(row)['price']}")


@app.command(epilog="Example:  rbee price withdraw 01934b0c-7c1e-7000-8000-000000000000 --yes")
def withdraw(
    version: Annotated[
        str, typer.Argument(help="Its ID in `rbee price show --versions`, or in `rbee price terms`.")
    ],
    card: Card = "default",
    is_terms: Annotated[bool, typer.Option("--terms", help="It is one of terms.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take back a price, or terms, that have not begun."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Withdraw {version}?", yes=yes, as_json=as_json)
    what = "terms" if is_terms else "prices"
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        queen.delete(f"/api/v1/price-cards/{card}/{what}/{quote(version, safe='')}")
    Output(as_json=as_json).result({"withdrawn": version}, f"{version} is withdrawn")


def said_prices(texts: list[str]) -> dict[str, str]:
    """As texts: the queen reads them exactly."""
    from rbee_cli.errors import UsageError

    found: dict[str, str] = {}
    for text in texts:
        unit, equals, price = text.partition("=")
        if not equals or not unit or not price:
            raise UsageError(f"a price is UNIT=PRICE such as prompt_tokens=0.15, not {text!r}")
        if unit in found:
            raise UsageError(f"{unit} is there twice")
        found[unit] = price
    return found


def moment(text: str) -> str:
    """A day begins at midnight UTC."""
    return f"{text}T00:00:00Z" if len(text) == 10 else text
