from __future__ import annotations

import typer

from rbee_cli.commands import gdpr_requests

app = typer.Typer(help="Data protection: what people agreed to, and their rights.", no_args_is_help=True)
gdpr_requests.add_to(app)
