from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

app = typer.Typer(help="What your account and your end users agreed to.", no_args_is_help=True)
text_app = typer.Typer(help="The texts that are agreed to; each version stays.", no_args_is_help=True)
app.add_typer(text_app, name="text")

COLUMNS = {
    "purpose": "PURPOSE",
    "given": "GIVEN",
    "number": "ANSWERS",
    "locale": "LOCALE",
    "text_sha256": "TEXT",
    "by": "BY",
    "at": "AT",
}
TEXT_COLUMNS = {
    "purpose": "PURPOSE",
    "locale": "LOCALE",
    "number": "VERSION",
    "sha256": "SHA-256",
    "is_operators": "FOR ALL TENANTS",
    "created_at": "ADDED",
}
Purpose = Annotated[str, typer.Argument(help="What it is for, such as data_processing.")]
Subject = Annotated[
    str, typer.Option(help="An end user, as your requests name them.", show_default="your account")
]
GIVE_EPILOG = """Examples:

  rbee gdpr consent give data_processing

  rbee gdpr consent give data_processing --subject user-4711 --locale de
"""
WITHDRAW_EPILOG = """Examples:

  rbee gdpr consent withdraw data_processing

  rbee gdpr consent withdraw data_processing --subject user-4711
"""
LIST_EPILOG = """Examples:

  rbee gdpr consent list

  rbee gdpr consent list --subject user-4711 --history --json
"""
ADD_EPILOG = """Examples:

  rbee gdpr consent text add data_processing --text "You may process what we send, to answer it."

  rbee gdpr consent text add data_processing --locale de --file einwilligung.txt
"""


@app.command(epilog=GIVE_EPILOG)
def give(
    purpose: Purpose,
    subject: Subject = "",
    text: Annotated[
        str, typer.Option(help="SHA-256 of the version that was shown.", show_default="the newest")
    ] = "",
    locale: Annotated[str, typer.Option(help="In which it was shown, such as de-AT.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Agree to a text, for your account or for an end user who did."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"subject": subject, "text_sha256": text, "locale": locale}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        given = queen.post(_path(purpose), {name: value for name, value in body.items() if value})
    Output(as_json=as_json).result(
        given, f"consent to {purpose} is given; `rbee gdpr consent withdraw {purpose}` takes it back"
    )


@app.command(epilog=WITHDRAW_EPILOG)
def withdraw(
    purpose: Purpose,
    subject: Subject = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take a consent back. What needs it is refused within five seconds."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        withdrawn = queen.delete(_path(purpose), {"subject": subject} if subject else {})
    Output(as_json=as_json).result(withdrawn, f"consent to {purpose} is withdrawn")


@app.command("list", epilog=LIST_EPILOG)
def list_consents(
    subject: Subject = "",
    history: Annotated[bool, typer.Option("--history", help="Every answer, not only the last.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List the last answer to each purpose."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/gdpr/consents", subject=subject, history=str(history).lower())
    Output(as_json=as_json).table(rows, COLUMNS, empty="nobody was asked yet: `rbee gdpr consent give`")


@text_app.command("add", epilog=ADD_EPILOG)
def add_text(
    purpose: Purpose,
    text: Annotated[str, typer.Option(help="The text itself.")] = "",
    file: Annotated[
        Path | None, typer.Option(help="A file with the text, in UTF-8.", exists=True, dir_okay=False)
    ] = None,
    locale: Annotated[str, typer.Option(help="Its language, such as de-AT.")] = "en",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Add a version. Yours is for your end users; the operator's is for all tenants."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    if bool(text) == (file is not None):
        raise UsageError("give --text, or --file")
    try:
        said = file.read_text(encoding="utf-8") if file else text
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{file} cannot be read as text in UTF-8") from error
    body = {"purpose": purpose, "locale": locale, "text": said}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/gdpr/consent-texts", body)
    Output(as_json=as_json).result(
        made, f"version {made['number']} of {purpose} ({locale}) is {made['sha256']}"
    )


@text_app.command("list", epilog="Example:  rbee gdpr consent text list")
def list_texts(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List every version, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows: list[dict[str, Any]] = queen.get("/gdpr/consent-texts")["data"]
    Output(as_json=as_json).table(rows, TEXT_COLUMNS, empty="no text yet: `rbee gdpr consent text add`")


def _path(purpose: str) -> str:
    from urllib.parse import quote

    return f"/gdpr/consents/{quote(purpose, safe='')}"
