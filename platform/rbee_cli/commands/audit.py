from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="The audit log: who did what, and when.", no_args_is_help=True)

COLUMNS = {
    "at": "AT",
    "tenant": "TENANT",
    "event": "EVENT",
    "actor": "ACTOR",
    "about": "ABOUT",
    "outcome": "OUTCOME",
    "details": "DETAILS",
}
LIST_EPILOG = """Examples:

  rbee audit list --tenant acme --event 'key.*,project.*'

  rbee audit list --actor key:3kTMd9qZ01ab --since 2027-01-01T00:00:00Z --limit 200 --json

  rbee audit list --event task.settled          what the books say of each task
"""


@app.command("list", epilog=LIST_EPILOG)
def list_entries(
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    event: Annotated[str, typer.Option(help="Names, or beginnings like key.*, with commas between.")] = "",
    actor: Annotated[str, typer.Option(help="Who did it: an ACTOR column.")] = "",
    about: Annotated[str, typer.Option(help="What it was done to: an ABOUT column.")] = "",
    outcome: Annotated[str, typer.Option(help="Only of this outcome, like ok.")] = "",
    since: Annotated[str, typer.Option(help="From then on, like 2027-01-31T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before then.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List what was done, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    given = {
        "tenant": tenant, "event": event, "actor": actor, "about": about, "outcome": outcome, "since": since,
        "until": until,
    }  # fmt: skip
    asked = {name: text for name, text in given.items() if text}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/audit", limit=limit, **asked)
    Output(as_json=as_json).table(rows, COLUMNS, empty="nothing of that kind was done")


SHOW_EPILOG = """Examples:

  rbee audit show 019ac2f4-7b1e-7c3a-9d52-5f0e8a4b6c11

  rbee audit show 019ac2f4-7b1e-7c3a-9d52-5f0e8a4b6c11 --details     from where, and in whose words; that you look is recorded
"""


@app.command("show", epilog=SHOW_EPILOG)
def show_entry(
    entry: Annotated[str, typer.Argument(help="Its ID: `rbee audit list --json` has it.", metavar="ID")],
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
        raise UsageError(f"{text!r} is no ID of an entry: `rbee audit list --json` has them") from None
