from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm
from rbee_cli.commands import gdpr_consent, gdpr_content, gdpr_keys, gdpr_requests

app = typer.Typer(
    help="Data protection: what is held, why, how long, and papers for it.", no_args_is_help=True
)
subprocessor = typer.Typer(help="Firms that work on data for the operator.", no_args_is_help=True)
app.add_typer(subprocessor, name="subprocessor")
app.add_typer(gdpr_consent.app, name="consent")
app.add_typer(gdpr_content.app, name="content")
app.add_typer(gdpr_keys.app, name="keys")
gdpr_requests.add_to(app)

PLAN_COLUMNS = {
    "step": "STEP",
    "kind": "KIND",
    "place": "PLACE",
    "found_by": "FOUND BY",
    "action": "ACTION",
    "columns": "COLUMNS",
    "kept_calendar_years": "YEARS",
    "kept_under": "KEPT UNDER",
}
RETENTION_COLUMNS = {
    "table": "TABLE",
    "rule": "KEPT",
    "cutoff": "OVER BEFORE",
    "rows": "ROWS",
    "applied_by": "BY",
}
SUB_PROCESSOR_COLUMNS = {
    "id": "ID",
    "name": "NAME",
    "country": "COUNTRY",
    "purpose": "PURPOSE",
    "categories": "DATA",
    "state": "STATE",
    "in_force_at": "FROM",
    "ends_at": "UNTIL",
    "objections": "OBJECTIONS",
}
OperatorName = Annotated[str, typer.Option(help="Who operates this colony, in full.")]
Contact = Annotated[str, typer.Option(help="For data protection: name, address, e-mail.")]
To = Annotated[Path | None, typer.Option("--output", "-o", help="Write it into this file.")]
SubProcessor = Annotated[str, typer.Argument(help="Its ID column in `rbee gdpr subprocessor list`.")]

RECORD_EPILOG = """Examples:

  rbee gdpr record --operator-name 'Acme GmbH' --contact 'privacy@acme.example'

  rbee gdpr record --format csv -o record.csv
"""


@app.command(epilog=RECORD_EPILOG)
def record(
    format: Annotated[Literal["markdown", "json", "csv"], typer.Option()] = "markdown",  # noqa: A002 -- the option's name
    operator_name: OperatorName = "",
    contact: Contact = "",
    output: To = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """The record of processing activities (Art. 30 GDPR): all of it for the operator, what is done for it for a tenant."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    asked = {"operator_name": operator_name, "contact": contact}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if as_json or format == "json":
            made = queen.get("/gdpr/record", **asked)
            Output(as_json=True).result(made)
        else:
            _write(queen.text("/gdpr/record", **asked, format=format), output)


DOCUMENT_EPILOG = """Examples:

  rbee gdpr document dpa --operator-name 'Acme GmbH' --customer-name 'Example Ltd' -o dpa.md

  rbee gdpr document security

Documents: dpa (Art. 28 agreement), dpia (Art. 35), subprocessors, security, breach-runbook. None is legal advice.
"""


@app.command(epilog=DOCUMENT_EPILOG)
def document(
    kind: Annotated[Literal["dpa", "dpia", "subprocessors", "security", "breach-runbook"], typer.Argument()],
    operator_name: OperatorName = "",
    contact: Contact = "",
    customer_name: Annotated[str, typer.Option(help="With whom an agreement is made.")] = "",
    lang: Annotated[Literal["en"], typer.Option()] = "en",
    output: To = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """A document for lawyers, with the facts of this installation filled in."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    asked = {"operator_name": operator_name, "contact": contact, "customer_name": customer_name, "lang": lang}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.get(f"/gdpr/documents/{kind}", **{name: text for name, text in asked.items() if text})
    if as_json:
        Output(as_json=True).result(made)
    else:
        _write([made["text"]], output)


@app.command(epilog="Example:  rbee gdpr schema --whose person")
def schema(
    whose: Annotated[Literal["tenant", "person", "subject"], typer.Option()] = "tenant",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """JSON Schema of what an export holds."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import print_json

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        print_json(queen.get("/gdpr/schema", whose=whose))


PLAN_EPILOG = """Examples:

  rbee gdpr plan --subject          an end user of a tenant

  rbee gdpr plan --tenant --json
"""


@app.command(epilog=PLAN_EPILOG)
def plan(
    subject: Annotated[bool, typer.Option("--subject", help="Of an end user of a tenant.")] = False,
    tenant: Annotated[bool, typer.Option("--tenant", help="Of a tenant.")] = False,
    person: Annotated[bool, typer.Option("--person", help="Of somebody with an account.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """What an erasure does, step by step, and what stays under which law. Changes nothing."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    chosen = [
        whose for whose, is_it in (("subject", subject), ("tenant", tenant), ("person", person)) if is_it
    ]
    if len(chosen) != 1:
        raise UsageError("say whose: --subject, --tenant or --person")
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.get("/gdpr/plan", whose=chosen[0])["data"]
    Output(as_json=as_json).table(rows, PLAN_COLUMNS, empty="nothing is held of them")


RETENTION_EPILOG = """Examples:

  rbee gdpr retention --dry-run     how much is kept longer than declared

  rbee gdpr retention --yes         end it at once, as a chore does each night
"""


@app.command(epilog=RETENTION_EPILOG)
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Delete what is kept longer than its table declares."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    if not dry_run:
        confirm("Delete what is over?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        said = queen.get("/gdpr/retention") if dry_run else queen.post("/gdpr/retention", {})
    Output(as_json=as_json).table(said["data"], RETENTION_COLUMNS, empty="no table has a term")


@subprocessor.command("list", epilog="Example:  rbee gdpr subprocessor list")
def list_sub_processors(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List them, and what tenants have against one."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/gdpr/subprocessors")
    Output(as_json=as_json).table(rows, SUB_PROCESSOR_COLUMNS, empty="no sub-processor")


ADD_EPILOG = """Example:

  rbee gdpr subprocessor add 'Hosting AG' --country DE --purpose 'Runs the machines' --data 'all, encrypted'
"""


@subprocessor.command("add", epilog=ADD_EPILOG)
def add_sub_processor(
    name: Annotated[str, typer.Argument(help="The firm, in full.")],
    country: Annotated[str, typer.Option(help="Where it processes, like DE.")],
    purpose: Annotated[str, typer.Option(help="What it does for you.")],
    data: Annotated[str, typer.Option(help="Which categories of data it gets.")],
    url: Annotated[str, typer.Option(help="Its own page about data protection.")] = "",
    notice_days: Annotated[int, typer.Option(min=0, max=365, help="From now until it is in force.")] = 30,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Announce one: every tenant is told by e-mail and webhook, and can object until it is in force."""
    body = {
        "name": name, "country": country, "purpose": purpose, "categories": data, "url": url, "notice_days": notice_days
    }  # fmt: skip
    made = _post("/gdpr/subprocessors", body, queen_url, api_key)
    _say(made, f"{made['name']} is announced, and in force from {made['in_force_at'][:10]} on", as_json)


@subprocessor.command("remove", epilog="Example:  rbee gdpr subprocessor remove ID --notice-days 14")
def remove_sub_processor(
    sub_processor: SubProcessor,
    notice_days: Annotated[int, typer.Option(min=0, max=365, help="Until it ends.")] = 0,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """End one; it stays in the list as ended, and every tenant is told."""
    from rbee_cli.client import QueenClient

    confirm(f"End {sub_processor}?", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.delete(f"/gdpr/subprocessors/{sub_processor}", {"notice_days": notice_days})
    _say(made, f"{made['name']} is {made['state']}", as_json)


@subprocessor.command("object", epilog="Example:  rbee gdpr subprocessor object ID --reason 'not in the EU'")
def object_to_sub_processor(
    sub_processor: SubProcessor,
    reason: Annotated[str, typer.Option(help="Why; the operator reads it.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """For a tenant: object to one that is announced."""
    made = _post(f"/gdpr/subprocessors/{sub_processor}/objection", {"reason": reason}, queen_url, api_key)
    _say(made, f"the operator is told that you object to {made['name']}", as_json)


def _post(path: str, body: dict[str, Any], queen_url: str | None, api_key: str | None) -> dict[str, Any]:
    from rbee_cli.client import QueenClient

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made: dict[str, Any] = queen.post(path, body)
        return made


def _say(made: dict[str, Any], text: str, as_json: bool) -> None:
    from rbee_cli.output import Output

    Output(as_json=as_json).result(made, text)


def _write(parts: Any, output: Path | None) -> None:
    from rbee_cli.errors import CliError
    from rbee_cli.output import print_text

    if output is None:
        print_text(parts)
        return
    try:
        output.write_text("".join(parts), encoding="utf-8")
    except OSError as error:
        raise CliError(f"cannot write {output} ({error.strerror})") from error
