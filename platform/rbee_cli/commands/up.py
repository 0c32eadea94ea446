from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rbee_cli.errors import UsageError

EPILOG = """Examples:

  rbee up                               this machine only, no key needed

  rbee up --host 0.0.0.0                hives and clients on other machines

  rbee up --port 8000 --data-dir ./data

  rbee up --business --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
"""


def up(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API and of hives.")] = 7833,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept.", show_default="your user data folder")
    ] = None,
    no_hive: Annotated[bool, typer.Option("--no-hive", help="Start no hive on this machine.")] = False,
    business: Annotated[
        bool, typer.Option("--business", help="Keys, tenants and bills; nothing is keyless.")
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM) for HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key (PEM) of the certificate.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only trouble and the command to try.")
    ] = False,
) -> None:
    """Start everything on this machine: PostgreSQL, Redis, queen, Celery and a hive. Ctrl-C stops it."""
    from rbee_cli.up.folders import default_data_dir
    from rbee_cli.up.lifecycle import run_up
    from rbee_cli.up.options import UpOptions
    from rbee_cli.up.screen import Screen

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together: give both or neither")
    for file in (tls_cert, tls_key):
        if file is not None and not file.is_file():
            raise UsageError(f"{file} is no file: --tls-cert and --tls-key take PEM files")
    tls_name = ""
    if tls_cert:
        from rbee_cli.up.tls import own_name

        tls_name = own_name(tls_cert)
    options = UpOptions(
        data_dir=(data_dir or default_data_dir()).expanduser().absolute(),
        host=host,
        port=port,
        business=business,
        hive=not no_hive,
        tls_cert=tls_cert and tls_cert.absolute(),
        tls_key=tls_key and tls_key.absolute(),
        tls_name=tls_name,
    )
    run_up(options, Screen(Console(highlight=False), quiet=quiet))
