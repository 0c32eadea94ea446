"""The commands of `rbee billing` that have to do with Stripe."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm
from rbee_cli.money import micros_text, read_micros

COLUMNS = {
    "id": "PAYMENT",
    "method": "BY",
    "status": "STATUS",
    "amount": "AMOUNT",
    "refunded": "REFUNDED",
    "paid_at": "PAID",
    "reference": "REFERENCE",
}
Tenant = Annotated[str, typer.Option(help="For the operator: whose it is.", show_default="your own")]
Amount = Annotated[
    str, typer.Argument(help="In the account's currency, like 25 or 25.50.", show_default=False)
]

TOPUP_EPILOG = """Examples:

  rbee billing topup 25                      prints a page of Stripe's to pay on

  rbee billing topup 100 --save-card         and lets auto-recharge use that card later
"""


def topup(
    amount: Amount,
    save_card: Annotated[bool, typer.Option("--save-card", help="Keep the card for auto-recharge.")] = False,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Top a balance up by card."""
    body = {"amount_micros": read_micros(amount), "save_card": save_card, "tenant": tenant}
    _open_page("/api/v1/billing/checkout", body, as_json, queen_url, api_key)


def subscribe(
    plan: Annotated[str, typer.Argument(help="Its PLAN column in `rbee plan list`.")],
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Subscribe to a plan. The tenant is on it once it is paid."""
    _open_page("/api/v1/billing/subscription", {"plan": plan, "tenant": tenant}, as_json, queen_url, api_key)


def portal(
    tenant: Tenant = "", as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Print a page on which cards, subscriptions and receipts are seen to."""
    _open_page("/api/v1/billing/portal", {"tenant": tenant}, as_json, queen_url, api_key)


def payments(
    tenant: Tenant = "", as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """List payments, the last one first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/billing/payments", tenant=tenant)
    if not as_json:
        rows = [
            row
            | {name: micros_text(row[f"{name}_micros"], row["currency"]) for name in ("amount", "refunded")}
            for row in rows
        ]
    Output(as_json=as_json).table(rows, COLUMNS, empty="no payment yet: `rbee billing topup AMOUNT`")


REFUND_EPILOG = """Examples:

  rbee billing refund 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a --yes

  rbee billing refund 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a --amount 10 --reason "charged twice"
"""


def refund(
    payment: Annotated[str, typer.Argument(help="Its PAYMENT column in `rbee billing payments`.")],
    amount: Annotated[
        str, typer.Option(help="A part of it, like 10.50.", show_default="all that is left")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, for the books.")] = "",
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Give a payment back, as far as it is still in the balance. For the operator."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body: dict[str, Any] = {"reason": reason}
    if amount:
        body["amount_micros"] = read_micros(amount)
    confirm(f"Refund payment {payment}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post(f"/api/v1/billing/payments/{payment}/refunds", body)
    text = f"{micros_text(made['amount_micros'], made['currency'])} go back: {made['state']}"
    Output(as_json=as_json).result(made, text)


AUTO_EPILOG = """Examples:

  rbee billing auto-recharge                                     what is set

  rbee billing auto-recharge --below 10 --amount 50 --month-max 200

  rbee billing auto-recharge --off
"""


def auto_recharge(
    below: Annotated[str, typer.Option(help="Charge when the balance is below this, like 10.")] = "",
    amount: Annotated[str, typer.Option(help="How much each time, like 50.")] = "",
    month_max: Annotated[str, typer.Option(help="The most in a month, like 200.")] = "",
    on: Annotated[
        bool | None, typer.Option("--on/--off", help="Turn it on or off.", show_default=False)
    ] = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show or set what charges the saved card when a balance runs low."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    given = {"threshold_micros": below, "amount_micros": amount, "month_max_micros": month_max}
    body: dict[str, Any] = {name: read_micros(text) for name, text in given.items() if text}
    if on is not None:
        body["on"] = on
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        path = "/api/v1/billing/auto-recharge"
        found = queen.put(path, {**body, "tenant": tenant}) if body else queen.get(path, tenant=tenant)
    Output(as_json=as_json).fields(found)


def add_to(group: typer.Typer) -> None:
    group.command(epilog=TOPUP_EPILOG)(topup)
    group.command(epilog="Example:  rbee billing subscribe pro")(subscribe)
    group.command(epilog="Example:  rbee billing portal")(portal)
    group.command(epilog="Example:  rbee billing payments --tenant acme")(payments)
    group.command(epilog=REFUND_EPILOG)(refund)
    group.command("auto-recharge", epilog=AUTO_EPILOG)(auto_recharge)


def _open_page(
    path: str, body: dict[str, Any], as_json: bool, queen_url: str | None, api_key: str | None
) -> None:
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        page = queen.post(path, body)
    Output(as_json=as_json).result(page, page["url"])
