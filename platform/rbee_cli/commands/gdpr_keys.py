from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm

app = typer.Typer(help="The keys that personal details and secrets are encrypted by.", no_args_is_help=True)

COLUMNS = {
    "id": "ID",
    "of": "OF",
    "is_newest": "NEWEST",
    "since": "SINCE",
    "uses": "LEFT",
    "holders": "WHAT IS LEFT",
}
ROTATE_EPILOG = """Examples:

  rbee gdpr keys rotate                   a new key for the details of people

  rbee gdpr keys rotate --secret-key      a new root secret, in the file that `rbee up` keeps it in
"""
RETIRE_EPILOG = """Examples:

  rbee gdpr keys retire file:20261126-5f0e8a4b --yes

  rbee gdpr keys retire secret:9d525f0e --force --yes     API keys that nobody used since then are refused from now on
"""


@app.command("list", epilog="Example:  rbee gdpr keys list")
def list_keys(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List the keys, and what each is still needed for."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.get("/gdpr/keys")["data"]
    Output(as_json=as_json).table(rows, COLUMNS, empty="there is no key")


@app.command(epilog=ROTATE_EPILOG)
def rotate(
    secret_key: Annotated[
        bool, typer.Option("--secret-key", help="The root secret, and not the key of people's details.")
    ] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make a key that takes the place of the newest one, while everything runs."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"of": "secret_key" if secret_key else "details"}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/gdpr/keys/rotate", body)
    said = (
        f"{made['id']} is the newest; what the others made follows: `rbee gdpr keys list` shows what is left"
    )
    Output(as_json=as_json).result(made, said)


@app.command(epilog=RETIRE_EPILOG)
def retire(
    key: Annotated[str, typer.Argument(help="Its ID: `rbee gdpr keys list` has it.", metavar="ID")],
    force: Annotated[
        bool, typer.Option("--force", help="Of a root secret: give up what is left of it.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """End a key for good. Refused while something needs it."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"End {key}? What only it opens is lost, also what is in backups.", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        ended = queen.post("/gdpr/keys/retire", {"id": key, "force": force})
    Output(as_json=as_json).result(ended, f"{key} is retired")
