"""Options that many commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
QueenUrl = Annotated[
    str | None,
    typer.Option(
        "--queen-url",
        envvar="RBEE_QUEEN_URL",
        help="The queen to talk to.",
        show_default="from the config file",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="RBEE_API_KEY", help="A key in place of the stored one.", show_envvar=True
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is removed. A program cannot be asked, so it says --yes."""
    from rbee_cli.errors import CliError, UsageError

    if yes:
        return
    if as_json:
        raise UsageError("--json asks nothing: confirm by --yes")
    if not typer.confirm(question):
        raise CliError("nothing was removed")


def pairs(texts: list[str], what: str) -> dict[str, str | int | float | bool]:
    """`key=value` options; numbers, true and false become what they look like."""
    from rbee_cli.errors import UsageError

    found: dict[str, str | int | float | bool] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--{what} takes KEY=VALUE, not {text!r}")
        found[key] = _scalar(value)
    return found


def changes(
    texts: Mapping[str, str],
    unset: list[str] | None,
    lists: Mapping[str, list[str] | None],
) -> dict[str, Any]:
    """The body of a change, of what was given."""
    from rbee_cli.errors import UsageError

    body: dict[str, Any] = {field: text for field, text in texts.items() if text}
    body |= dict.fromkeys(unset or [])
    body |= {field: given for field, given in lists.items() if given}
    if not body:
        raise UsageError("nothing to change: --help shows what can be")
    return body


def names(body: Mapping[str, Any]) -> str:
    return ", ".join(body)


def secret_from_input(prompt: str, *, repeat: bool = False) -> str:
    """Never from an argument: those are seen by everybody on the machine."""
    from rbee_cli.errors import UsageError

    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=repeat, err=True))
    secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise UsageError(f"{prompt.lower()} is missing: write it to standard input")
    return secret


def until_of(days: int | None) -> dict[str, str]:
    """The field of a body that says when so many days from now are over."""
    from datetime import UTC, datetime, timedelta

    if days is None:
        return {}
    # A minute less, so that the most that a queen takes is taken by one whose clock is a little behind.
    end = datetime.now(UTC) + timedelta(days=days) - timedelta(minutes=1)
    return {"until": end.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _scalar(text: str) -> str | int | float | bool:
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,15}\.\d{1,15}", text) else text
