"""The `rbee` command.

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no queen answers · 4 not authorised · 5 not found · 6 conflict ·
130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

import typer

from rbee_cli.catalog import app_for
from rbee_cli.errors import CliError, UsageError
from rbee_quiet.install import be_quiet
from rbee_quiet.scrub import scrub


def run() -> None:
    be_quiet()
    try:
        code = app_for(sys.argv[1:])(prog_name="rbee", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except CliError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 -- nobody wants to read a traceback at a prompt
        sys.exit(_tell_unforeseen(error))


def _tell_unforeseen(error: Exception) -> int:
    """What Typer found wrong with the arguments has `format_message`; anything else is ours."""
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command: the help is the message
        error.show()  # type: ignore[attr-defined]
        return 2
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "rbee"
        _tell(UsageError(f"{error.format_message().rstrip('.')}: `{command} --help` shows how"))
        return 2
    if os.environ.get("RBEE_LOG_LEVEL", "").lower() == "debug":
        print(scrub(traceback.format_exc()), file=sys.stderr)
    # What is pasted into a bug report holds nobody's key.
    said = scrub(f"{type(error).__name__}: {error}")
    _tell(CliError(f"this is a bug in rbee: {said} (RBEE_LOG_LEVEL=debug shows where)"))
    return 1


def _tell(error: CliError) -> None:
    if "--json" in sys.argv[1:]:
        said = {"error": {"message": str(error), "exit_code": error.exit_code}}
        print(json.dumps(said, ensure_ascii=False), file=sys.stderr)
        return
    print(f"rbee: {error}", file=sys.stderr)
    if error.detail:
        print("\n".join(f"  {line}" for line in error.detail.splitlines()), file=sys.stderr)


if __name__ == "__main__":
    run()
