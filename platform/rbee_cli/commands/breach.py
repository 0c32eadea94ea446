from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(
    help="Breaches of personal data: the clock of 72 hours, the facts, and drafts of what is told.",
    no_args_is_help=True,
)

BREACHES = "/api/v1/breaches"
COLUMNS = {
    "id": "BREACH",
    "title": "TITLE",
    "state": "STATE",
    "aware_at": "KNOWN SINCE",
    "notify_by": "TELL BY",
    "left": "LEFT",
}
AFFECTED = {
    "tenant": "TENANT",
    "tasks": "TASKS",
    "subjects": "END USERS",
    "keys_used": "KEYS",
    "audit_entries": "ENTRIES",
}
BreachId = Annotated[str, typer.Argument(metavar="BREACH", help="Its BREACH column in `rbee breach list`.")]

OPEN_EPILOG = """Examples:

  rbee breach open "laptop with a management key lost" --since 2027-01-10T08:00:00Z

  rbee breach open "wrong bucket was public" --since 2027-01-10T08:00:00Z --until 2027-01-11T09:30:00Z \\
      --aware 2027-01-12T07:15:00Z --json
"""


@app.command("open", epilog=OPEN_EPILOG)
def open_breach(
    title: Annotated[str, typer.Argument(help="What happened, in a few words, and no names of people.")],
    since: Annotated[str, typer.Option(help="From when data was exposed, like 2027-01-10T08:00:00Z.")],
    until: Annotated[str, typer.Option(help="Until when.", show_default="now")] = "",
    aware: Annotated[str, typer.Option(help="When you came to know of it.", show_default="now")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Start the clock of 72 hours (Art. 33 GDPR) and gather what rbee knows of that time."""
    from rbee_cli.client import QueenClient

    body = {"title": title, "since": since} | _given(until=until, aware_at=aware)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post(BREACHES, body)
    _show(made, as_json=as_json)


@app.command("list", epilog="Example:  rbee breach list")
def list_breaches(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List breaches, closed ones too: all of them are kept on record."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(BREACHES, limit=limit)
    shown = rows if as_json else [row | {"left": left(row["left_s"])} for row in rows]
    Output(as_json=as_json).table(shown, COLUMNS, empty="no breach is on record")


SHOW_EPILOG = """Examples:

  rbee breach show 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a

  rbee breach show 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a --draft authority > notification.md

  rbee breach show 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a --draft acme > acme.md
"""


@app.command(epilog=SHOW_EPILOG)
def show(
    breach: BreachId,
    draft: Annotated[
        str, typer.Option(help="Print a draft in Markdown: authority, or the slug of a tenant.")
    ] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show a breach, how much of the 72 hours is left, and whom it affects."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output, print_text

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if not draft:
            _show(queen.get(_path(breach)), as_json=as_json)
            return
        notice = queen.get(f"{_path(breach)}/notice", to=draft)
    if as_json:
        Output(as_json=True).result(notice)
    else:
        print_text([notice["markdown"]])


ADD_EPILOG = """Examples:

  rbee breach add-fact 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a "the key was revoked at 09:12"

  rbee breach add-fact 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a "looked again" --gather
"""


@app.command("add-fact", epilog=ADD_EPILOG)
def add_fact(
    breach: BreachId,
    text: Annotated[str, typer.Argument(help="What became known. No names of people.")],
    gather: Annotated[bool, typer.Option("--gather", help="Also gather again what rbee knows.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Write down what became known, with its time."""
    from rbee_cli.client import QueenClient

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        _show(queen.post(f"{_path(breach)}/facts", {"text": text, "gather": gather}), as_json=as_json)


CLOSE_EPILOG = """Examples:

  rbee breach close 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a "keys rotated, customers told" \\
      --notified 2027-01-13T10:00:00Z

  rbee breach close 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a "no risk: the disk was encrypted, so nobody was told"
"""


@app.command(epilog=CLOSE_EPILOG)
def close(
    breach: BreachId,
    conclusion: Annotated[str, typer.Argument(help="What came of it; also why nobody was told, if so.")],
    notified: Annotated[
        str, typer.Option(help="When the authority was told.", show_default="it was not")
    ] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Close a breach. It stays on record."""
    from rbee_cli.client import QueenClient

    body = {"conclusion": conclusion} | _given(notified_at=notified)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        _show(queen.post(f"{_path(breach)}/close", body), as_json=as_json)


def left(left_s: int | None) -> str:
    """Of the 72 hours, as people say it."""
    if left_s is None:
        return ""
    hours, minutes = divmod(abs(left_s) // 60, 60)
    return f"{hours} h {minutes} min" + (" too late" if left_s < 0 else "")


def _path(breach: str) -> str:
    from urllib.parse import quote

    return f"{BREACHES}/{quote(breach, safe='')}"


def _given(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    from rbee_cli.output import Output

    output = Output(as_json=as_json)
    if as_json:
        output.result(found)
        return
    facts = found["facts"]
    fields = {name: found[name] for name in ("title", "state", "aware_at", "notify_by", "since", "until")}
    output.fields(
        {"breach": found["id"], **fields, "left": left(found["left_s"]), "told": found["notified_at"]}
    )
    output.say()
    gathered: dict[str, Any] = next((fact["gathered"] for fact in reversed(facts) if fact["gathered"]), {})
    rows = [row for row in gathered.get("tenants", []) if row["tenant"] in found["affected"]]
    output.table(rows, AFFECTED, empty="it affects no tenant, as far as rbee knows")
    for fact in facts:
        if fact["text"]:
            output.say(f"{fact['at']}  {fact['text']}")
