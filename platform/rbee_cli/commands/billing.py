from __future__ import annotations

import typer

from rbee_cli.commands import books

app = typer.Typer(help="The books: compare them, and explain what a task cost.", no_args_is_help=True)
app.command(epilog=books.RECONCILE_EPILOG)(books.reconcile)
app.command(epilog=books.EXPLAIN_EPILOG)(books.explain)
