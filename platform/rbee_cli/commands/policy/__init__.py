"""`rbee policy`: what can be done with a file alone is in `offline`."""

from __future__ import annotations

import typer

from rbee_cli.commands.policy import offline

app = typer.Typer(
    help="Policies: scripts that decide who is admitted and which GPU serves.", no_args_is_help=True
)
app.command(epilog=offline.CHECK_EPILOG)(offline.check)
app.command("test", epilog=offline.TEST_EPILOG)(offline.run_cases_of)
