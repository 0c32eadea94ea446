from __future__ import annotations

import typer

app = typer.Typer(help="What a tenant pays, and how.", no_args_is_help=True)
