"""`rbee policy`: what can be done with a file alone is in `offline`, everything else talks to the queen."""

from __future__ import annotations

import typer

from rbee_cli.commands.policy import change, look, offline, trial

app = typer.Typer(
    help="Policies: scripts that decide who is admitted and which GPU serves.", no_args_is_help=True
)
app.command(epilog=offline.CHECK_EPILOG)(offline.check)
app.command("test", epilog=offline.TEST_EPILOG)(offline.run_cases_of)
app.command("dry-run", epilog=trial.EPILOG)(trial.dry_run)
app.command(epilog=change.PUSH_EPILOG)(change.push)
app.command(epilog=change.ACTIVATE_EPILOG)(change.activate)
app.command(epilog=change.ROLLBACK_EPILOG)(change.rollback)
app.command(epilog=look.LOG_EPILOG)(look.log)
app.command(epilog=look.SHOW_EPILOG)(look.show)
app.command(epilog=look.DIFF_EPILOG)(look.diff)
