from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

EPILOG = """Examples:

  rbee login --queen-url https://rbee.example.com          asks for the key

  rbee login --key-file /var/lib/rbee/operator.key

  echo "$KEY" | rbee login
"""


def login(
    key_file: Annotated[Path | None, typer.Option(help="Read the key from this file.")] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Store a queen's address and a key for it.

    Management and inference keys are kept apart; which one this is, the queen says.
    """
    from rbee_cli.client import QueenClient, checked_url
    from rbee_cli.config import DEFAULT_QUEEN_URL, Config, read_config, write_config
    from rbee_cli.errors import NotAuthorised
    from rbee_cli.output import Output

    config = read_config()
    url = checked_url(queen_url or config.queen_url or DEFAULT_QUEEN_URL)
    key = api_key or _key(key_file, as_json=as_json)
    uses = []
    for use, path in (("management", "/api/v1/status"), ("inference", "/v1/models")):
        with QueenClient(use, queen_url=url, api_key=key) as queen:  # type: ignore[arg-type]
            try:
                queen.get(path)
            except NotAuthorised:
                continue
            uses.append(use)
    if not uses:
        raise NotAuthorised(
            f"{url} takes that key for nothing: copy it again, or make another by `rbee key create`"
        )
    if url != config.queen_url:
        config = Config(queen_url=url)
    if "management" in uses:
        config.management_key = key
    if "inference" in uses:
        config.inference_key = key
    path_written = write_config(config)
    what = " and ".join(uses)
    said = (
        f"{url} takes this key for {what}; kept in {path_written}"
        if key
        else f"{url} needs no key; kept in {path_written}"
    )
    Output(as_json=as_json).result({"queen_url": url, "uses": uses, "config": str(path_written)}, said)


def _key(file: Path | None, *, as_json: bool) -> str:
    from rbee_cli.errors import UsageError

    if file is not None:
        try:
            return file.expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {file}: {error}") from error
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    if as_json:
        raise UsageError("--json asks nothing: give the key by --key-file or on standard input")
    return str(
        typer.prompt("Key (empty when the queen needs none)", default="", hide_input=True, show_default=False)
    )
