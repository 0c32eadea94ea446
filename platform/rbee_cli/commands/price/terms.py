"""What tenants owe for a month beside their tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands.price.app import CardName, app, said_terms

VERSIONS = {"version": "VERSION", "valid_from": "FROM", "state": "STATE", "said": "TERMS", "id": "ID"}
TERMS_EPILOG = """Examples:

  rbee price terms                                                    those of the card for everybody

  rbee price terms pro-usd --subscription 49.00 --include '*:completion_tokens=1000000' --from 2027-01-01

  rbee price terms pro-usd --minimum 100.00 --discount 10%

  rbee price terms pro-usd --graduated 'llama-3-405b:prompt_tokens=0.50 up to 10000000, 0.40'

  rbee price terms pro-usd --volume '*:images=0.04 up to 1000, 0.03 up to 10000, 0.02'

What is not said stays; `none` takes it away. Changes begin with the next month unless --from says another.
"""


@app.command(epilog=TERMS_EPILOG)
def terms(
    card: CardName = "default",
    subscription: Annotated[str, typer.Option(help="The fee of a month, like 49.00.")] = "",
    minimum: Annotated[str, typer.Option(help="What a month comes to at least.")] = "",
    discount: Annotated[str, typer.Option(help="On usage, like 12.5%.")] = "",
    include: Annotated[
        list[str] | None, typer.Option(help="MODEL:UNIT=QUANTITY without charge; may be given again.")
    ] = None,
    graduated: Annotated[
        list[str] | None, typer.Option(help="MODEL:UNIT=PRICE up to N, …, PRICE: each part at its own.")
    ] = None,
    volume: Annotated[
        list[str] | None, typer.Option(help="The same, but everything at the price that is reached.")
    ] = None,
    begins: Annotated[str, typer.Option("--from", help="The first of a month, like 2027-01-01.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show or change what a card's tenants owe for a month beside their tasks."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    path, output = f"/api/v1/price-cards/{card}/terms", Output(as_json=as_json)
    said = {"subscription": subscription, "minimum": minimum, "discount": discount}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(path)
        if not any((*said.values(), include, graduated, volume)):
            if begins:
                raise UsageError("nothing to change: --help shows what can be")
            shown = [row | {"said": in_line(row["terms"])} for row in rows]
            output.table(shown, VERSIONS, empty=f"{card} has no terms: tasks are all that is owed")
            return
        last: dict[str, Any] = next(
            (row["terms"] for row in rows if row["state"] in ("current", "future")), {}
        )
        body: dict[str, Any] = {"terms": changed(last, said, include, graduated, volume)}
        body |= {"valid_from": begins} if begins else {}
        row = queen.post(path, body)
    output.result(row, f"from {row['valid_from']} on: {in_line(row['terms'])}")


DISCOUNT_EPILOG = """Examples:

  rbee price discount lumon                                      those that were given

  rbee price discount lumon 15% --reason "two years in advance" --from 2027-01-01

  rbee price discount lumon none --reason "the contract ended"   that of its card again
"""
DISCOUNTS = {"valid_from": "FROM", "discount": "DISCOUNT", "reason": "REASON", "created_at": "GIVEN"}


@app.command(epilog=DISCOUNT_EPILOG)
def discount(
    tenant: Annotated[str, typer.Argument(help="Its TENANT column in `rbee tenant list`.")],
    percent: Annotated[str, typer.Argument(help="On its usage, in place of its card's.")] = "",
    reason: Annotated[str, typer.Option(help="Why: for you, and for the audit log.")] = "",
    begins: Annotated[
        str, typer.Option("--from", help="The first of a month.", show_default="this one")
    ] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show or give the discount of one tenant."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    path, output = f"/api/v1/tenants/{tenant}/discounts", Output(as_json=as_json)
    if percent and not reason:
        raise UsageError("say why: --reason")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if not percent:
            output.table(queen.rows(path), DISCOUNTS, empty=f"{tenant} has the discount of its price card")
            return
        body = {"discount": None if percent == "none" else percent, "reason": reason}
        given = queen.post(path, body | ({"valid_from": begins} if begins else {}))
    output.result(
        given, f"{tenant} has {given['discount'] or 'its card’s discount'} from {given['valid_from']} on"
    )


def changed(
    last: dict[str, Any],
    said: dict[str, str],
    include: list[str] | None,
    graduated: list[str] | None,
    volume: list[str] | None,
) -> dict[str, Any]:
    terms = dict(last)
    for name, text in said.items():
        if text:
            terms[name] = None if text == "none" else text
    for text in include or []:
        model, unit, quantity = place(text, "include")
        kept = others(terms, "included", model, unit)
        taken = quantity == "none"
        terms["included"] = kept if taken else [*kept, {"model": model, "unit": unit, "quantity": quantity}]
    for mode, texts in (("graduated", graduated), ("volume", volume)):
        for text in texts or []:
            model, unit, steps = place(text, mode)
            kept = others(terms, "tiered", model, unit)
            made = {"model": model, "unit": unit, "mode": mode, "tiers": tiers(steps)}
            terms["tiered"] = kept if steps == "none" else [*kept, made]
    return {name: value for name, value in terms.items() if value}


def place(text: str, option: str) -> tuple[str, str, str]:
    from rbee_cli.errors import UsageError

    where, equals, value = text.partition("=")
    model, colon, unit = where.rpartition(":")
    if not (equals and colon and model and unit and value):
        raise UsageError(f"--{option} takes MODEL:UNIT=…, not {text!r}")
    return model, unit, value.strip()


def tiers(text: str) -> list[dict[str, str]]:
    """`0.50 up to 10000000, 0.40`."""
    found = []
    for step in text.split(","):
        price, _, up_to = step.partition(" up to ")
        found.append({"price": price.strip()} | ({"up_to": up_to.strip()} if up_to else {}))
    return found


def others(terms: dict[str, Any], name: str, model: str, unit: str) -> list[dict[str, Any]]:
    return [one for one in terms.get(name, ()) if (one["model"], one["unit"]) != (model, unit)]


def in_line(terms: dict[str, Any]) -> str:
    return "; ".join(f"{row['what']} {row['is']}" for row in said_terms(terms)) or "nothing beside tasks"
