from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, names
from rbee_cli.commands import billing_stripe, books
from rbee_cli.commands.usage import money

app = typer.Typer(help="How a tenant pays, what it has, and whether the books agree.", no_args_is_help=True)

app.command(epilog=books.RECONCILE_EPILOG)(books.reconcile)

app.command(epilog=books.EXPLAIN_EPILOG)(books.explain)

seller_app = typer.Typer(help="Whom invoices come from.", no_args_is_help=True)

app.add_typer(seller_app, name="seller")

ACCOUNT, SELLER = "/api/v1/billing/account", "/api/v1/billing/seller"

NONE = "none"

Tenant = Annotated[str, typer.Argument(help="Which tenant.", show_default="your own")]

OfTenant = Annotated[str, typer.Argument(help="Which tenant.")]

Text = Annotated[str | None, typer.Option(show_default=False)]


@app.command(epilog="Examples:\n\n  rbee billing show\n\n  rbee billing show acme --json")
def show(
    tenant: Tenant = "", as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Show how a tenant pays, its balance, and what its invoices say of it."""
    from rbee_cli.client import QueenClient
    from rbee_cli.money import micros_text
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        account = queen.get(ACCOUNT, **_of(tenant))
    if as_json:
        Output(as_json=True).result(account)
        return
    shown = {
        name: value for name, value in account.items() if name != "balances" and not name.endswith("_micros")
    }
    for name in ("credit_limit", "invoice_threshold"):
        micros = account[f"{name}_micros"]
        shown[name] = NONE if micros is None else micros_text(micros, account["currency"])
    for each in account["balances"] or [
        {"currency": account["currency"], "balance_micros": 0, "reserved_micros": 0}
    ]:
        shown[f"balance {each['currency']}"] = micros_text(each["balance_micros"])
        shown[f"held {each['currency']}"] = micros_text(each["reserved_micros"])
    Output(as_json=False).fields(shown)


SET_EPILOG = """Examples:

  rbee billing set --legal-name "Lumon B.V." --address "Dam 1, 1012 JS Amsterdam" --country NL --vat-id NL123456782B90

  rbee billing set acme --mode prepaid

  rbee billing set acme --credit-limit 5000 --invoice-threshold 1000
"""


@app.command("set", epilog=SET_EPILOG)
def set_account(
    tenant: Tenant = "",
    legal_name: Text = None,
    address: Annotated[
        str | None, typer.Option(help="In lines, or with commas between.", show_default=False)
    ] = None,
    country: Annotated[str | None, typer.Option(help="Two capitals, like NL.", show_default=False)] = None,
    vat_id: Annotated[str | None, typer.Option(help="Of a business in the EU.", show_default=False)] = None,
    email: Annotated[str | None, typer.Option(help="Where invoices go.", show_default="the owner's")] = None,
    mode: Annotated[
        str, typer.Option(help="prepaid or postpaid; for the operator.", show_default=False)
    ] = "",
    currency: Annotated[str, typer.Option(help="For the operator.", show_default=False)] = "",
    credit_limit: Annotated[
        str, typer.Option(help="What it may owe, like 5000, or none; for the operator.", show_default=False)
    ] = "",
    invoice_threshold: Annotated[
        str,
        typer.Option(help="Invoice before the month is over, from so much on, or none.", show_default=False),
    ] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change what invoices say of a tenant, or how it pays."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    texts = {
        "legal_name": legal_name,
        "address": _lines(address),
        "country": country,
        "vat_id": vat_id,
        "email": email,
    }
    body: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    body |= {name: text for name, text in (("mode", mode), ("currency", currency)) if text}
    for name, text in (
        ("credit_limit_micros", credit_limit),
        ("invoice_threshold_micros", invoice_threshold),
    ):
        body |= {name: _limit(text)} if text else {}
    if not body:
        raise UsageError("nothing to change: --help shows what can be")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        changed = queen.patch(_path(tenant), body)
    Output(as_json=as_json).result(changed, f"{changed['tenant']} has changed: {names(body)}")


@app.command(epilog='Example:  rbee billing credit acme --amount 25.00 --reason "the outage of 3 May"')
def credit(
    tenant: OfTenant,
    amount: Annotated[str, typer.Option(help="Like 25.00, in the account's currency.")],
    reason: Annotated[str, typer.Option(help="For the audit log.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Give money to a tenant's balance. It pays open invoices first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.money import read_micros
    from rbee_cli.output import Output

    body = {"tenant": tenant, "amount_micros": read_micros(amount), "reason": reason}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/billing/credits", body)
    Output(as_json=as_json).result(made, f"{tenant} has {amount} more")


PAY_EPILOG = """Examples:

  rbee billing pay lumon --amount 121.00 --reference "NL91ABNA0417164300 2027-01-31 17"

  rbee billing pay lumon --amount 50 --method other --reference "cash, receipt 12"
"""


@app.command(epilog=PAY_EPILOG)
def pay(
    tenant: OfTenant,
    amount: Annotated[str, typer.Option(help="All that came, like 121.00.")],
    reference: Annotated[str, typer.Option(help="The bank's own: the same one again is not booked twice.")],
    currency: Annotated[str, typer.Option(help="Of the payment.", show_default="the account's")] = "",
    method: Annotated[str, typer.Option(help="bank or other.")] = "bank",
    note: Annotated[str, typer.Option(help="For yourself.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Book money that came: it pays invoices, the oldest first, or tops up a balance."""
    from rbee_cli.client import QueenClient
    from rbee_cli.money import micros_text, read_micros
    from rbee_cli.output import Output

    body = {"tenant": tenant, "amount_micros": read_micros(amount), "reference": reference, "method": method,
            "currency": currency, "note": note}  # fmt: skip
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        payment = queen.post("/api/v1/billing/payments", body)
    shown = micros_text(payment["amount_micros"], payment["currency"])
    Output(as_json=as_json).result(payment, f"{shown} of {tenant} is booked")


@seller_app.command("show", epilog="Example:  rbee billing seller show")
def show_seller(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Show whom invoices come from."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        Output(as_json=as_json).fields(queen.get(SELLER))


SELLER_EPILOG = """Examples:

  rbee billing seller set --legal-name "GPU Farm B.V." --address "Keizersgracht 1, 1015 CC Amsterdam" --country NL \\
  --vat-id NL123456782B90 --registration-number "KvK 12345678" --iban NL91ABNA0417164300 --bic ABNANL2A

  rbee billing seller set --payment-term-days 30 --tax-rate CH=8.1 --oss

  rbee billing seller set --exemption "VAT exempt: small enterprise, § 19 UStG"
"""


@seller_app.command("set", epilog=SELLER_EPILOG)
def set_seller(
    legal_name: Text = None,
    address: Annotated[
        str | None, typer.Option(help="In lines, or with commas between.", show_default=False)
    ] = None,
    country: Annotated[str | None, typer.Option(help="Two capitals, like NL.", show_default=False)] = None,
    vat_id: Text = None,
    registration_number: Annotated[
        str | None, typer.Option(help="With its register, like KvK 12345678.", show_default=False)
    ] = None,
    iban: Annotated[str | None, typer.Option(help="Where invoices are paid to.", show_default=False)] = None,
    bic: Text = None,
    email: Text = None,
    series_prefix: Annotated[
        str | None, typer.Option(help="Of invoice numbers, like INV.", show_default=False)
    ] = None,
    payment_term_days: Annotated[int | None, typer.Option(min=0, max=180, show_default=False)] = None,
    tax_rate: Annotated[
        list[str] | None,
        typer.Option(help="A country's rate in percent, like NL=21; =none: the one rbee ships."),
    ] = None,
    oss: Annotated[
        bool | None,
        typer.Option(
            "--oss/--no-oss", help="Consumers in the EU pay their country's rate.", show_default=False
        ),
    ] = None,
    exemption: Annotated[
        str | None,
        typer.Option(
            help="Why you charge no tax, in the words of your law; empty: you do.", show_default=False
        ),
    ] = None,
    check_vat_ids: Annotated[
        bool | None,
        typer.Option("--check-vat-ids/--no-check-vat-ids", help="Ask the EU's VIES.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Change whom invoices come from. What was issued stays as it is."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    given = {
        "legal_name": legal_name, "address": _lines(address), "country": country, "vat_id": vat_id,
        "registration_number": registration_number, "iban": iban, "bic": bic, "email": email,
        "series_prefix": series_prefix, "payment_term_days": payment_term_days, "charges_oss": oss,
        "exemption": exemption, "checks_vat_ids": check_vat_ids,
    }  # fmt: skip
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not body and not tax_rate:
        raise UsageError("nothing to change: --help shows what can be")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if tax_rate:
            body["tax_rates"] = _rates(queen.get(SELLER)["tax_rates"], tax_rate)
        changed = queen.patch(SELLER, body)
    Output(as_json=as_json).result(changed, f"the seller has changed: {names(body)}")


def _rates(before: dict[str, int], given: list[str]) -> dict[str, int]:
    from rbee_cli.errors import UsageError
    from rbee_cli.money import MICROS, read_micros

    rates = dict(before)
    for each in given:
        country, equals, percent = each.partition("=")
        if not equals:
            raise UsageError(f"--tax-rate takes COUNTRY=PERCENT, like NL=21, not {each!r}")
        if percent == NONE:
            rates.pop(country, None)
        else:
            rates[country] = 0 if percent == "0" else read_micros(percent) * 100 // MICROS
    return rates


def _limit(text: str) -> int | None:
    from rbee_cli.money import read_micros

    if text == NONE:
        return None
    return 0 if text == "0" else read_micros(text)


def _lines(address: str | None) -> str | None:
    return (
        None
        if address is None
        else "\n".join(part.strip() for part in address.replace(",", "\n").splitlines())
    )


def _of(tenant: str) -> dict[str, str]:
    return {"tenant": tenant} if tenant else {}


def _path(tenant: str) -> str:
    from urllib.parse import quote

    return f"{ACCOUNT}?tenant={quote(tenant, safe='')}" if tenant else ACCOUNT


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


billing_stripe.add_to(app)
