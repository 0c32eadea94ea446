from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl
from rbee_cli.commands import audit_mail, audit_proofs

app = typer.Typer(help="The audit log: who did what, and when.", no_args_is_help=True)

ENTRIES = "/gdpr/audit/entries"
COLUMNS = {
    "at": "AT",
    "tenant": "TENANT",
    "event": "EVENT",
    "actor": "ACTOR",
    "about": "ABOUT",
    "outcome": "OUTCOME",
    "details": "DETAILS",
}
MONTHS = {
    "month": "MONTH",
    "state": "STATE",
    "entries": "ENTRIES",
    "archived_at": "WRITTEN",
    "keep_until": "KEPT UNTIL",
    "is_due": "DUE",
}
SEEN_MAX = 2000  # entries of `tail` that are remembered: some are written a moment after later ones
LOOK_BACK = 200

Tenant = Annotated[str, typer.Option(help="Only of this tenant.")]
Event = Annotated[str, typer.Option(help="Names, or beginnings like key.*, with commas between.")]
Actor = Annotated[str, typer.Option(help="Who did it: an ACTOR column.")]
About = Annotated[str, typer.Option(help="What it was done to: an ABOUT column.")]
Outcome = Annotated[str, typer.Option(help="Only of this outcome, like ok.")]
RequestId = Annotated[str, typer.Option("--request", help="Of one request: its x-request-id.")]
Since = Annotated[str, typer.Option(help="From then on, like 2027-01-31T00:00:00Z.")]
Until = Annotated[str, typer.Option(help="Before then.")]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    CEF = "cef"
    SYSLOG = "syslog"


SEARCH_EPILOG = """Examples:

  rbee audit search --tenant acme --event 'key.*,project.*'

  rbee audit search --actor key:3kTMd9qZ01ab --since 2027-01-01T00:00:00Z --limit 200 --json

  rbee audit search --request req_01936f1e5d3a7c419a552f0d6c1e8b7a

  rbee audit search --event task.settled          what the books say of each task
"""


@app.command(epilog=SEARCH_EPILOG)
def search(
    tenant: Tenant = "",
    event: Event = "",
    actor: Actor = "",
    about: About = "",
    outcome: Outcome = "",
    request: RequestId = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Find what was done, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    asked = _asked(tenant, event, actor, about, outcome, request, since, until)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(ENTRIES, limit=limit, **asked)
    Output(as_json=as_json).table(rows, COLUMNS, empty="nothing of that kind was done")


SHOW_EPILOG = """Examples:

  rbee audit show 019ac2f4-7b1e-7c3a-9d52-5f0e8a4b6c11

  rbee audit show 019ac2f4-7b1e-7c3a-9d52-5f0e8a4b6c11 --details     from where, and in whose words; that you look is recorded
"""


@app.command("show", epilog=SHOW_EPILOG)
def show_entry(
    entry: Annotated[str, typer.Argument(help="Its ID: `rbee audit search --json` has it.", metavar="ID")],
    details: Annotated[bool, typer.Option("--details", help="Show personal details too.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show one entry, with --details also what is kept apart of it."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output, shown

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        asked = {"details": "true"} if details else {}
        found = queen.get(f"/api/v1/audit/{checked_id(entry)}", **asked)
    out = Output(as_json=as_json)
    if as_json:
        out.fields(found)
        return
    private = found.pop("private", None)
    out.fields(found)
    for one in private or []:
        out.say(f"{one['kind']}: {shown(one['fields']) if one['state'] == 'kept' else one['state']}")
    if private == []:
        out.say("nothing is kept apart of it")


def checked_id(text: str) -> str:
    from uuid import UUID

    from rbee_cli.errors import UsageError

    try:
        return str(UUID(text))
    except ValueError:
        raise UsageError(f"{text!r} is no ID of an entry: `rbee audit search --json` has them") from None


EXPORT_EPILOG = """Examples:

  rbee audit export --since 2027-01-01T00:00:00Z --until 2027-02-01T00:00:00Z --to january.json

  rbee audit export --format csv --tenant acme > acme.csv

  rbee audit export --format cef --event 'auth.*,account.*'
"""


@app.command(epilog=EXPORT_EPILOG)
def export(
    tenant: Tenant = "",
    event: Event = "",
    actor: Actor = "",
    about: About = "",
    outcome: Outcome = "",
    request: RequestId = "",
    since: Since = "",
    until: Until = "",
    file_format: Annotated[Format, typer.Option("--format", help="Of the file.")] = Format.JSON,
    to: Annotated[Path | None, typer.Option(help="A file to write, in place of standard output.")] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Write all that is found into a file, oldest first. That it was exported is in the log too."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import CliError
    from rbee_cli.output import Output, print_text

    asked = _asked(tenant, event, actor, about, outcome, request, since, until)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        texts = queen.text("/gdpr/audit/export", format=file_format.value, **asked)
        if to is None:
            print_text(texts)
            return
        try:
            with to.open("xb") as file:
                size = sum(file.write(text.encode()) for text in texts)
        except OSError as error:
            raise CliError(f"{to} cannot be written: {error.strerror}") from error
    Output(as_json=as_json).result({"file": str(to), "bytes": size}, f"{to} has {size} bytes")


TAIL_EPILOG = """Examples:

  rbee audit tail

  rbee audit tail --event 'auth.*,request.*' --json      one entry in each line
"""


@app.command(epilog=TAIL_EPILOG)
def tail(
    tenant: Tenant = "",
    event: Event = "",
    actor: Actor = "",
    about: About = "",
    outcome: Outcome = "",
    lines: Annotated[int, typer.Option(min=0, max=200, help="So many of before, too.")] = 10,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.2, help="Seconds between two looks.")
    ] = 2.0,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what is done as it is done, until you press Ctrl-C."""
    import time

    from rbee_cli.client import QueenClient

    asked = _asked(tenant, event, actor, about, outcome, "", "", "")
    seen: dict[str, None] = {}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(ENTRIES, limit=LOOK_BACK, **asked)
        seen |= dict.fromkeys(row["id"] for row in reversed(rows))
        _print_lines(list(reversed(rows[:lines])), as_json=as_json)
        while True:
            time.sleep(interval_s)
            rows = queen.rows(ENTRIES, limit=LOOK_BACK, **asked)
            fresh = [row for row in reversed(rows) if row["id"] not in seen]
            _print_lines(fresh, as_json=as_json)
            seen |= dict.fromkeys(row["id"] for row in fresh)
            for old in list(seen)[:-SEEN_MAX]:
                del seen[old]


RETENTION_EPILOG = """Examples:

  rbee audit retention

  rbee audit retention --due --json
"""


@app.command(epilog=RETENTION_EPILOG)
def retention(
    due: Annotated[bool, typer.Option("--due", help="Only months that wait for something.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show which months of the log are kept where, and until when."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get("/gdpr/audit/retention")
    rows = [row for row in found["months"] if row["is_due"] or not due]
    output = Output(as_json=as_json)
    if as_json:
        output.result({**found, "months": rows})
        return
    output.table(rows, MONTHS, empty="nothing is due")
    output.say(f"The log begins at index {found['minimum_index']}; months are written to {found['archive']}.")


def _asked(
    tenant: str, event: str, actor: str, about: str, outcome: str, request: str, since: str, until: str
) -> dict[str, str]:
    given = {
        "tenant": tenant, "event": event, "actor": actor, "about": about, "outcome": outcome, "request_id": request,
        "since": since, "until": until,
    }  # fmt: skip
    return {name: text for name, text in given.items() if text}


def _print_lines(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """One line for each: what follows does not wait for what comes, so there is no table to be laid out."""
    import json

    from rbee_cli.output import shown

    for row in rows:
        line = (
            json.dumps(row, ensure_ascii=False)
            if as_json
            else "  ".join(shown(row[name]) for name in COLUMNS)
        )
        print(line, flush=True)


audit_proofs.add_to(app)
audit_mail.add_to(app)
