from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm, pairs

app = typer.Typer(help="The machines with GPUs.", no_args_is_help=True)

COLUMNS = {
    "name": "HIVE",
    "state": "STATE",
    "region": "REGION",
    "attested": "ATTESTED UNTIL",
    "labels": "LABELS",
    "devices": "DEVICES",
    "models": "MODELS",
    "joined_at": "JOINED",
}
TOKEN_EPILOG = """Examples:

  rbee hive token

  rbee hive token --region EU --label gpu_type=H100
"""  # noqa: S105
JOIN_EPILOG = """Examples:

  rbee hive join http://192.168.1.10:7833 --token TOKEN --name gpu-node-01

  rbee hive join https://rbee.example.com --token - --no-run        the token from standard input
"""

FROM_STDIN = "-"

Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="The hive's folder.", show_default="in your user data folder"),
]


@app.command(epilog=TOKEN_EPILOG)
def token(
    region: Annotated[str, typer.Option(help="Where the machine stands, such as EU.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE that scripts see; may be given again.")
    ] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make a token that lets one machine join, within ten minutes. Region and labels are yours to say, not the hive's."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = {"region": region, "labels": pairs(label or [], "label")}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/api/v1/hives/join-tokens", body)
        url = made.get("join_url") or queen.queen_url
    command = f"rbee hive join {shlex.quote(url)} --token {made['token']}"
    output = Output(as_json=as_json)
    output.result(made | {"command": command}, f"On the other machine, within ten minutes:\n\n  {command}")
    if not as_json and is_loopback(url):
        output.say(
            f"\n{url} is this machine only. For others, start the queen by `rbee up --host 0.0.0.0` and put this "
            "machine's address there.",
            "yellow",
        )


@app.command(epilog=JOIN_EPILOG)
def join(
    url: Annotated[str, typer.Argument(help="The queen, as this machine reaches it.")],
    token: Annotated[str, typer.Option(help="From `rbee hive token`; - reads it from standard input.")],
    name: Annotated[
        str, typer.Option(help="What the hive is called.", show_default="this machine's name")
    ] = "",
    folder: Folder = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Join only; `rbee hive run` starts it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make this machine a hive of a queen, and run it."""
    from hive_agent.errors import HiveError, QueenUnreachable
    from hive_agent.join import join as join_queen
    from rbee_cli.errors import CliError, Unreachable
    from rbee_cli.output import Output

    where = hive_folder(folder)
    try:
        credentials = join_queen(
            url, sys.stdin.readline().strip() if token == FROM_STDIN else token, where, name or None
        )
    except QueenUnreachable as error:
        raise Unreachable(str(error)) from error
    except HiveError as error:
        raise CliError(str(error)) from error
    joined = {
        "name": credentials.name,
        "hive": credentials.hive,
        "queen_url": credentials.queen_url,
        "dir": str(where),
    }
    Output(as_json=as_json).result(
        joined, f"{credentials.name} has joined {credentials.queen_url}; it is kept in {where}"
    )
    if not no_run:
        run_agent(where)


@app.command("run", epilog="Example:  rbee hive run --dir /srv/rbee-hive")
def run_hive(folder: Folder = None) -> None:
    """Run the hive that has joined from this machine, until Ctrl-C."""
    from rbee_cli.errors import NotFound

    where = hive_folder(folder)
    if not where.is_dir():
        raise NotFound(f"no hive is kept in {where}: `rbee hive join URL --token TOKEN` makes one")
    run_agent(where)


@app.command("list", epilog="Example:  rbee hive list --json")
def list_hives(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """List the hives that have joined."""
    from rbee_cli.client import QueenClient
    from rbee_cli.commands.status import summary
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/api/v1/hives")
    output = Output(as_json=as_json)
    if as_json:
        output.result(rows)
        return
    shown = [
        row
        | {
            "attested": row.get("region_until") if row.get("region_attested") else None,
            "devices": summary(row.get("devices") or []),
            "models": [worker["model"] for worker in row.get("workers") or [] if worker.get("model")],
        }
        for row in rows
    ]
    output.table(shown, COLUMNS, empty="no hive has joined: `rbee hive token` lets one")


ATTEST_EPILOG = """Examples:

  rbee hive attest gpu-node-01 --region EU --until 2027-12-31

  rbee hive attest gpu-node-01 --withdraw
"""


@app.command(epilog=ATTEST_EPILOG)
def attest(
    hive: Annotated[str, typer.Argument(help="Its name.")],
    region: Annotated[str, typer.Option(help="Where the machine stands, such as EU/Netherlands.")] = "",
    until: Annotated[
        str, typer.Option(help="When somebody has to look again, like 2027-12-31.", show_default="in a year")
    ] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Vouch for it no more.")] = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Vouch for where a hive stands. Tenants that are bound to a region are served by attested hives only."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    if withdraw == bool(region):
        raise UsageError("give --region, or --withdraw")
    path = f"/api/v1/hives/{quote(hive, safe='')}/attestation"
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        if withdraw:
            said, text = queen.delete(path), f"{hive} is in no region from now on"
        else:
            said = queen.put(path, {"region": region} | ({"until": _moment(until)} if until else {}))
            text = f"{hive} is attested to be in {region} until {said['region_until']}"
    Output(as_json=as_json).result(said, text)


@app.command(epilog="Example:  rbee hive remove gpu-node-01")
def remove(
    hive: Annotated[str, typer.Argument(help="Its name.")],
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Take a hive out of the colony: its credentials end at once, what it runs is lost to clients."""
    from urllib.parse import quote

    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    confirm(f"Remove {hive}? Its credentials end at once.", yes=yes, as_json=as_json)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        queen.delete(f"/api/v1/hives/{quote(hive, safe='')}")
    Output(as_json=as_json).result({"removed": hive}, f"{hive} is removed")


def hive_folder(given: Path | None) -> Path:
    from rbee_cli.up.folders import default_data_dir

    return (given or default_data_dir() / "joined-hive").expanduser().absolute()


def run_agent(where: Path) -> None:
    """In place of this process: signals then reach the agent itself."""
    import os

    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "hive_agent", "run", "--dir", str(where)])  # noqa: S606


def _moment(text: str) -> str:
    """A day is meant to its end."""
    return f"{text}T23:59:59Z" if len(text) == len("2027-12-31") else text


def is_loopback(url: str) -> bool:
    from urllib.parse import urlsplit

    return (urlsplit(url).hostname or "") in {"127.0.0.1", "localhost", "::1"}
