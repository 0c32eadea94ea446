"""python -m hive_agent run|join|status --dir DIR"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from hive_agent.errors import HiveError
from hive_agent.folder import Folder
from rbee_quiet.install import be_quiet

EXAMPLES = """examples:
  python -m hive_agent join http://queen.local:7833 --token TOKEN --dir ~/.rbee-hive
  python -m hive_agent run --dir ~/.rbee-hive
  python -m hive_agent status --dir ~/.rbee-hive
"""


def main() -> int:
    arguments = _parser().parse_args()
    be_quiet()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        arguments.command(arguments)
    except HiveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(arguments: argparse.Namespace) -> None:
    from hive_agent.agent import Agent

    asyncio.run(Agent(Folder(arguments.dir)).run())


def _join(arguments: argparse.Namespace) -> None:
    from hive_agent.join import join

    credentials = join(arguments.url, arguments.token, arguments.dir, arguments.name)
    print(f"joined {credentials.queen_url} as {credentials.name}; start it with: "
          f"python -m hive_agent run --dir {arguments.dir}")  # fmt: skip


def _status(arguments: argparse.Namespace) -> None:
    from hive_agent.status import describe

    for line in describe(Folder(arguments.dir)):
        print(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hive_agent", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="serve the queen that this folder joined")
    join = commands.add_parser("join", help="attach this machine to a queen")
    status = commands.add_parser("status", help="what runs in this folder")
    for command, function in ((run, _run), (join, _join), (status, _status)):
        command.add_argument("--dir", type=Path, required=True, help="folder of the hive")
        command.set_defaults(command=function)
    join.add_argument("url", help="address of the queen, e.g. http://queen.local:7833")
    join.add_argument(
        "--token", required=True, help="from `rbee hive token`; good for one join within 10 minutes"
    )
    join.add_argument("--name", help="how the queen calls this hive (default: the name of this machine)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
