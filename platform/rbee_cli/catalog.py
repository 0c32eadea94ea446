"""Every command, by its name. Typer looks at the signature of each command that it is told of, and there are many: whoever
names a group waits for that group only."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from rbee_cli import __version__

EPILOG: Final = """Examples:

  rbee up                                    start everything on this machine

  rbee chat "What is rbee?"                  ask the colony

  rbee model add Qwen/Qwen3-0.6B-GGUF --hive gpu-node-01

  rbee hive token --region EU                let another machine join

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no queen answers, 4 not authorised, 5 not found, 6 conflict.
"""
# In the order of `rbee --help`: a command is the function of its name in the module of its name, a group its `app`.
COMMANDS: Final = ("up", "status", "login", "chat", "usage")
GROUPS: Final = (
    "alert", "billing", "breach", "cost", "model", "hive", "key", "limit", "policy", "price", "task", "tenant", "webhook",
    "project", "member", "plan", "user", "audit", "gdpr", "invoice",
)  # fmt: skip


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """What these arguments need of it: what they name first, or everything."""
    named = arguments[0] if arguments and "_RBEE_COMPLETE" not in os.environ else ""
    if named in COMMANDS or named in GROUPS:
        return make_app([named] if named in COMMANDS else [], [named] if named in GROUPS else [])
    return make_app(COMMANDS, GROUPS)


def make_app(commands: Sequence[str], groups: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="rbee",
        help="Turn the GPUs of many machines into one OpenAI-compatible API.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in commands:
        module = _module(name)
        app.command(epilog=module.EPILOG)(getattr(module, name))
    for name in groups:
        app.add_typer(_module(name).app, name=name)
    app.command()(version)  # a second one at least: of a single one Typer would make the whole
    return app


def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Print the version of this command."""
    print(json.dumps({"version": __version__}) if as_json else f"rbee {__version__}")


def _module(name: str) -> Any:
    return import_module(f"rbee_cli.commands.{name}")
