from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="Invoices, credit notes, receipts and statements.", no_args_is_help=True)

COLUMNS = {
    "number": "NUMBER",
    "kind": "KIND",
    "tenant": "TENANT",
    "issued_at": "ISSUED",
    "first_day": "FROM",
    "amount": "AMOUNT",
    "status": "STATUS",
    "due_at": "DUE",
}
LINES = {
    "position": "#",
    "description": "WHAT",
    "quantity": "QUANTITY",
    "price": "UNIT PRICE",
    "amount": "NET",
}
Number = Annotated[str, typer.Argument(help="Its NUMBER column in `rbee invoice list`.")]
Reason = Annotated[str, typer.Option(help="It stands on the credit note.")]
UPCOMING = "upcoming"
LIST_EPILOG = """Examples:

  rbee invoice list

  rbee invoice list --tenant acme --status open --json
"""


@app.command("list", epilog=LIST_EPILOG)
def list_invoices(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    status: Annotated[str, typer.Option(help="open, paid, void or uncollectible.")] = "",
    kind: Annotated[str, typer.Option(help="invoice, credit_note, receipt or statement.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 100,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List them, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.money import gross_text
    from rbee_cli.output import Output

    asked = {name: text for name, text in (("tenant", tenant), ("status", status), ("kind", kind)) if text}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/invoices", limit=limit, **asked)
    shown = rows if as_json else [row | {"amount": gross_text(row)} for row in rows]
    Output(as_json=as_json).table(shown, COLUMNS, empty="nothing was issued yet")


SHOW_EPILOG = """Examples:

  rbee invoice show INV-2027-000042

  rbee invoice show upcoming                     what no invoice states yet
"""


@app.command(epilog=SHOW_EPILOG)
def show(
    number: Annotated[str, typer.Argument(help="Its NUMBER column in `rbee invoice list`, or upcoming.")],
    tenant: Annotated[str, typer.Option(help="Of `upcoming`: whose.", show_default="your own")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show one with its lines."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    output = Output(as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if number != UPCOMING:
            found = [queen.get(_path(number))]
        else:
            found = queen.get("/api/v1/invoices/upcoming", **({"tenant": tenant} if tenant else {}))["data"]
    if as_json:
        output.result(found if number == UPCOMING else found[0])
        return
    if not found:
        output.say("everything is on an invoice already")
    for invoice in found:
        _print(invoice, output)


@app.command(epilog="Example:  rbee invoice pdf INV-2027-000042 --output invoice.pdf")
def pdf(
    number: Number,
    output: Annotated[Path | None, typer.Option(help="Where to.", show_default="NUMBER.pdf")] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Save one as PDF."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import CliError
    from rbee_cli.output import Output

    path = output or Path(f"{number}.pdf")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        content = queen.download(f"{_path(number)}/pdf")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from error
    Output(as_json=as_json).result(
        {"number": number, "path": str(path), "bytes": len(content)}, f"{path} is there"
    )


ISSUE_EPILOG = """Examples:

  rbee invoice issue acme --month 2027-01

  rbee invoice issue acme                        what no invoice states yet, up to this moment

rbee does it by itself, some hours after the month is over.
"""


@app.command(epilog=ISSUE_EPILOG)
def issue(
    tenant: Annotated[str, typer.Argument(help="Whose usage.")],
    month: Annotated[str, typer.Option(help="One that is over, like 2027-01.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Issue an invoice, or a statement to who pays before. The same month again gives the same one."""
    from rbee_cli.client import QueenClient
    from rbee_cli.money import gross_text
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        issued = queen.post("/api/v1/invoices", {"tenant": tenant, "month": month})["data"]
    lines = [f"{each['number']}: {gross_text(each)}, {each['status']}" for each in issued]
    text = "\n".join(lines) or f"there is nothing of {tenant} to invoice"
    Output(as_json=as_json).result(issued, text)


CREDIT_EPILOG = """Examples:

  rbee invoice credit INV-2027-000042 --reason "the outage of 3 May" --amount 12.10

  rbee invoice credit INV-2027-000042 --reason "not what was agreed" --line 3

  rbee invoice credit INV-2027-000042 --reason "all of it"
"""


@app.command(epilog=CREDIT_EPILOG)
def credit(
    number: Number,
    reason: Reason,
    amount: Annotated[
        str, typer.Option(help="Its tax included, like 12.10.", show_default="all that is left")
    ] = "",
    line: Annotated[
        int | None, typer.Option(min=1, help="In place of an amount: this line.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Forgive an invoice, or a part of it. Of a receipt: send the money back, out of the balance."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.money import gross_text
    from rbee_cli.output import Output

    if amount and line:
        raise UsageError("--amount and --line contradict each other: give one of them")
    body: dict[str, Any] = {"reason": reason} | ({"line": line} if line else {})
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if amount:
            body["amount_minor"] = _minor(amount, queen.get(_path(number)))
        note = queen.post(f"{_path(number)}/credit", body)
    Output(as_json=as_json).result(note, f"{note['number']}: {gross_text(note)} of {number} is credited")


@app.command(epilog='Example:  rbee invoice void INV-2027-000042 --reason "the wrong buyer"')
def void(
    number: Number,
    reason: Reason,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take back one that was wrong. A credit note says so; what it covered is invoiced anew."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        note = queen.post(f"{_path(number)}/void", {"reason": reason})
    text = f"{number} is void by {note['number']}; `rbee invoice issue {note['tenant']}` invoices it anew"
    Output(as_json=as_json).result(note, text)


@app.command("write-off", epilog='Example:  rbee invoice write-off INV-2027-000042 --reason "bankrupt"')
def write_off(
    number: Number,
    reason: Annotated[str, typer.Option(help="For the audit log.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Expect no money for one any more. What is owed stays owed."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        invoice = queen.post(f"{_path(number)}/write-off", {"reason": reason})
    Output(as_json=as_json).result(invoice, f"{number} is written off")


def _print(invoice: dict[str, Any], output: Any) -> None:
    from rbee_cli.money import gross_text, micros_text

    whole = {
        "lines",
        "seller",
        "buyer",
        "net_minor",
        "tax_minor",
        "gross_minor",
        "gross",
        "credited_minor",
        "paid_micros",
    }
    output.fields(
        {name: value for name, value in invoice.items() if name not in whole and value not in ("", None)}
    )
    digits = len(invoice["gross"].partition(".")[2])
    rows = [
        line
        | {
            "amount": f"{line['amount_minor'] / 10**digits:.{digits}f}",
        }
        for line in invoice["lines"]
    ]
    output.table(rows, LINES, empty="")
    tax = f"{invoice['tax_minor'] / 10**digits:.{digits}f}"
    output.say(f"tax {tax}, together {gross_text(invoice)}, paid {micros_text(invoice['paid_micros'])}")


def _minor(amount: str, invoice: dict[str, Any]) -> int:
    from rbee_cli.errors import UsageError
    from rbee_cli.money import MICROS, read_micros

    digits = len(str(invoice["gross"]).partition(".")[2])
    minor, rest = divmod(read_micros(amount) * int(10**digits), MICROS)
    if rest:
        raise UsageError(
            f"{amount} is no amount of {invoice['currency']}: it has {digits} digits after the point"
        )
    return minor


def _path(number: str) -> str:
    return f"/api/v1/invoices/{quote(number, safe='')}"
