from __future__ import annotations

from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="Accounts of the operator's own people.", no_args_is_help=True)

EPILOG = """Examples:

  rbee user create-operator ann@example.org              asks for a password

  rbee user create-operator ann@example.org < password.txt
"""


@app.command("create-operator", epilog=EPILOG)
def create_operator(
    email: Annotated[str, typer.Argument(help="By which they log in.")],
    name: Annotated[str, typer.Option(help="Their name.")] = "",
    role: Annotated[
        str,
        typer.Option(
            help="admin, developer, billing, viewer, dpo or auditor.", show_default="admin, the first: owner"
        ),
    ] = "",
    days: Annotated[
        int | None,
        typer.Option(min=1, max=90, help="Of an auditor, whose time has an end: for so many days."),
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make an account that operates this colony. The password is read from a prompt or from standard input."""
    from rbee_cli.arguments import secret_from_input, until_of
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"email": email, "name": name, "password": secret_from_input("Password", repeat=True)}
    body |= ({"role": role} if role else {}) | until_of(days)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/operators", body)
        said = f"{email} operates this colony as {made['role']}; log in at {queen.queen_url}/accounts/login/"
    Output(as_json=as_json).result(made, said)
