from __future__ import annotations

import typer

from rbee_cli.commands import gdpr_consent

app = typer.Typer(help="Data protection: what people agreed to, and their rights.", no_args_is_help=True)
app.add_typer(gdpr_consent.app, name="consent")
