from __future__ import annotations

from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm

app = typer.Typer(
    help="Prompts and outputs of your tenant: whether they are kept, and those that are.",
    no_args_is_help=True,
)

PATH = "/gdpr/content"
COLUMNS = {
    "at": "WHEN",
    "id": "TASK",
    "model": "MODEL",
    "subject": "END USER",
    "request_bytes": "ASKED B",
    "answer_bytes": "ANSWERED B",
    "is_truncated": "CUT SHORT",
    "expires_at": "UNTIL",
}
SET_EPILOG = """Examples:

  rbee gdpr content set --days 30

  rbee gdpr content set --days 1 --json
"""
OFF_EPILOG = """Examples:

  rbee gdpr content off

  rbee gdpr content off --yes
"""
LIST_EPILOG = """Examples:

  rbee gdpr content list

  rbee gdpr content list --subject user-4711 --since 2027-01-31T00:00:00Z --json
"""
READ_EPILOG = """Examples:

  rbee gdpr content read chatcmpl-01936f1e5d3a7c419a552f0d6c1e8b7a

  rbee gdpr content read 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a --json
"""


@app.command(epilog="Example:  rbee gdpr content show --json")
def show(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Show whether they are kept, for how long, and how much is."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(PATH)
    Output(as_json=as_json).result(found, _said(found))


@app.command("set", epilog=SET_EPILOG)
def set_days(
    days: Annotated[int, typer.Option(min=1, max=400, help="For how long each is kept.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Have them kept from the next request on, encrypted. For the owner or the data-protection officer."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.put(PATH, {"days": days})
    Output(as_json=as_json).result(found, _said(found))


@app.command(epilog=OFF_EPILOG)
def off(
    yes: Yes = False, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Keep nothing from the next request on, and delete what was kept."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(PATH)
        confirm(
            f"What was kept of {found['tasks']} tasks of {found['tenant']} is deleted for good. Go on?",
            yes=yes,
            as_json=as_json,
        )
        ended = queen.delete(PATH, {"confirm": found["tenant"]})
    Output(as_json=as_json).result(ended, f"nothing is kept; what was of {ended['deleted']} tasks is deleted")


@app.command("list", epilog=LIST_EPILOG)
def list_contents(
    subject: Annotated[str, typer.Option(help="Only of this end user, as your requests name them.")] = "",
    model: Annotated[str, typer.Option(help="Only of this model.")] = "",
    since: Annotated[str, typer.Option(help="From this time on, like 2027-01-31T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Up to this time.", show_default="now")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List the tasks of which they are kept, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    given = {"subject": subject, "model": model, "since": since, "until": until}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows(
            "/api/v1/tasks/content", limit=limit, **{name: text for name, text in given.items() if text}
        )
    Output(as_json=as_json).table(rows, COLUMNS, empty="nothing is kept: `rbee gdpr content show`")


@app.command(epilog=READ_EPILOG)
def read(
    task: Annotated[str, typer.Argument(help="The id of a task, or of its answer.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what a task was asked and answered. That you read it is in the audit log."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        found = queen.get(f"/api/v1/tasks/{quote(task, safe='')}/content")
    short = " (longer than is kept: the end is missing)" if found["is_truncated"] else ""
    Output(as_json=as_json).result(found, f"{found['request']}\n\n{found['answer']}{short}")


def _said(found: dict[str, Any]) -> str:
    if found["days"] is None:
        why = "" if found["days_max"] else ", and the operator lets nobody"
        return f"prompts and outputs of {found['tenant']} are not kept{why}"
    return (
        f"prompts and outputs of {found['tenant']} are kept for {found['days']} days;"
        f" those of {found['tasks']} tasks are there, {found['bytes']} bytes"
    )
