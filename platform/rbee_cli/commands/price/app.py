from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(help="What models cost, and for whom.", no_args_is_help=True)

Card = Annotated[str, typer.Option(help="Of which price card: its CARD column in `rbee price cards`.")]
CardName = Annotated[str, typer.Argument(metavar="CARD", help="Its CARD column in `rbee price cards`.")]
From = Annotated[str, typer.Option("--from", help="When it begins, like 2027-01-01.", show_default="at once")]


def priced(row: dict[str, Any]) -> dict[str, Any]:
    """With its price in one line."""
    said = ", ".join(f"{unit} {text}" for unit, text in sorted(row["shown"].items()))
    return row | {"price": "free" if row["is_free"] else said}


def said_terms(terms: dict[str, Any]) -> list[dict[str, str]]:
    """A line for each thing that they say."""
    rows = [
        {"what": name, "is": terms[name] + (" a month" if name != "discount" else "")}
        for name in ("subscription", "minimum", "discount")
        if terms.get(name)
    ]
    rows += [
        {"what": "included", "is": f"{one['quantity']} {one['unit']} a month, {whose(one['model'])}"}
        for one in terms.get("included", ())
    ]
    for one in terms.get("tiered", ()):
        steps = ", ".join(
            f"up to {tier['up_to']} {tier['price']}" if "up_to" in tier else f"above {tier['price']}"
            for tier in one["tiers"]
        )
        rows.append({"what": one["mode"], "is": f"{one['unit']}, {whose(one['model'])}: {steps}"})
    return rows


def whose(model: str) -> str:
    return "any model" if model == "*" else model
