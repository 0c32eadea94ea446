from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl, Yes, confirm

WAIT_S = 1.0
OVER = frozenset({"ready", "expired", "erased", "cancelled", "failed"})

COLUMNS = {
    "id": "REQUEST", "kind": "KIND", "whose": "WHOSE", "state": "STATE", "step": "STEP", "waiting_for": "WAITS FOR",
    "requested_at": "ASKED", "grace_until": "GRACE UNTIL", "ended_at": "ENDED",
}  # fmt: skip

Request = Annotated[str, typer.Argument(help="Its REQUEST column in `rbee gdpr requests`.")]
Subject = Annotated[str, typer.Option(help="An end user, as `user` of requests names them.")]
OfTenant = Annotated[str, typer.Option("--tenant", help="For the operator: of this tenant.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXPORT_EPILOG)(export)
    app.command(epilog="Example:  rbee gdpr status REQUEST --json")(status)
    app.command(epilog="Example:  rbee gdpr requests --kind erasure --tenant acme")(requests)
    app.command(epilog="Example:  rbee gdpr download REQUEST --output acme.zip")(download)
    app.command("import", epilog=IMPORT_EPILOG)(import_archive)
    app.command(epilog=DELETE_EPILOG)(delete)
    app.command(epilog="Example:  rbee gdpr cancel REQUEST")(cancel)
    app.command(epilog="Example:  rbee gdpr certificate REQUEST > acme.json")(certificate)
    app.command("verify-certificate", epilog=VERIFY_EPILOG)(verify_certificate)
    app.command(epilog="Example:  rbee gdpr retry REQUEST")(retry)
    app.command(epilog="Example:  rbee gdpr replay --json")(replay)


EXPORT_EPILOG = """Examples:

  rbee gdpr export --tenant acme --wait --output acme.zip

  rbee gdpr export --subject user-4711 --format csv
"""


def export(
    subject: Subject = "",
    tenant: OfTenant = "",
    file_format: Annotated[str, typer.Option("--format", help="json or csv; left out: both.")] = "",
    wait: Wait = False,
    output: Annotated[Path | None, typer.Option(help="Where the archive is put; it waits for it.")] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Make an archive of what is held of a tenant, or of one of its end users."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    body = _given(subject=subject, tenant=tenant, format=file_format)
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/gdpr/export", body)
        if wait or output:
            made = _wait(queen, made["status_url"])
            if output:
                _save(queen, made["id"], output)
    said = f"`rbee gdpr status {made['id']}` shows how far it is" if not (wait or output) else _told(made)
    Output(as_json=as_json).result(made, f"{output} is there" if output else said)


def status(
    request: Request, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Show how far an export, an erasure or an import is."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        Output(as_json=as_json).fields(_find(queen, request))


def requests(
    kind: Annotated[str, typer.Option(help="Only export, erasure or import.")] = "",
    tenant: OfTenant = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List exports, erasures and imports, newest first."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        rows = queen.rows("/gdpr/requests", limit=limit, **_given(kind=kind, tenant=tenant))
    Output(as_json=as_json).table(rows, COLUMNS, empty="nobody asked for anything yet")


def download(
    request: Request,
    output: Annotated[Path, typer.Option(help="Where the archive is put.")],
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Save the archive of an export that is ready."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        size = _save(queen, request, output)
    Output(as_json=as_json).result({"file": str(output), "bytes": size}, f"{output} is there, {size} bytes")


IMPORT_EPILOG = """Examples:

  rbee gdpr import acme.zip

  rbee gdpr import acme.zip --key 9f3k…=          only if that colony has signed it
"""


def import_archive(
    file: Annotated[Path, typer.Argument(help="The archive of a tenant.", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option(help="The public key of the colony that made it.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Read a tenant of another colony into this one: for its operator. Manifest, counts and checksums are compared."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.upload("/gdpr/import", file, **_given(key=key))
        done = _wait(queen, made["status_url"])
    Output(as_json=as_json).result(done, _told(done))


DELETE_EPILOG = """Examples:

  rbee gdpr delete --subject user-4711 --yes          an end user of your tenant

  rbee gdpr delete --tenant acme                      a tenant and all that is its
"""


def delete(
    subject: Subject = "",
    tenant: OfTenant = "",
    yes: Yes = False,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Erase an end user of a tenant, or a tenant, once the time of grace is over."""
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    if not subject and not tenant:
        raise UsageError("say whom: --subject USER, or --tenant NAME")
    whom = f"the end user {subject}" if subject else f"the tenant {tenant}"
    confirm(f"Erase {whom}? What is erased cannot be brought back.", yes=yes, as_json=as_json)
    body = {**_given(subject=subject, tenant=tenant), "confirm": subject or tenant}
    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        made = queen.post("/gdpr/delete", body)
    said = f"{whom} is erased from {made['grace_until']} on; `rbee gdpr cancel {made['id']}` takes it back until then"
    Output(as_json=as_json).result(made, said)


def cancel(
    request: Request, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Take an erasure back, within its time of grace."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        done = queen.post(f"/gdpr/delete/{request}/cancel", {})
    Output(as_json=as_json).result(done, "the erasure is cancelled")


def certificate(request: Request, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """Print the signed certificate of an erasure, as JSON."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import print_json

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        print_json(queen.get(f"/gdpr/delete/{request}/certificate"))


VERIFY_EPILOG = """Examples:

  rbee gdpr verify-certificate acme.json                   by the key of the queen that it asks for it

  rbee gdpr verify-certificate acme.json --key 9f3k…=      without any queen
"""


def verify_certificate(
    file: Annotated[Path, typer.Argument(help="The certificate.", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Option(help="The colony's public key; left out: the queen is asked.")] = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Check that a certificate of an erasure is what the colony signed."""
    from rbee_cli.client import QueenClient
    from rbee_cli.documents import checked_document
    from rbee_cli.errors import UsageError
    from rbee_cli.output import Output

    try:
        signed = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{file} is no certificate: it is not JSON") from None
    if not key:
        with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
            key = queen.get("/gdpr/signing-key")["key"]
    found = checked_document(signed, key)
    kept = sum(entry.get("rows", 0) for entry in found.get("kept", []))
    said = f"good: {found.get('of')} was erased, verified at {found.get('verified_at')}; {kept} rows are kept by law"
    Output(as_json=as_json).result(found, said)


def retry(
    request: Request, as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None
) -> None:
    """Let a request that failed three times go on where it was."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        done = queen.post(f"/gdpr/requests/{request}/retry", {})
    Output(as_json=as_json).result(done, f"it goes on: {done['state']}")


def replay(as_json: AsJson = False, queen_url: QueenUrl = None, api_key: ApiKey = None) -> None:
    """After a backup was restored: erase again what had been erased since. Nothing is served until then."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key, timeout_s=3600) as queen:
        done = queen.post("/gdpr/replay", {})
    Output(as_json=as_json).result(done, f"{len(done['erased'])} were erased again")


def _find(queen: Any, request: str) -> dict[str, Any]:
    """Whatever kind it is."""
    from rbee_cli.errors import NotFound

    for kind in ("export", "delete", "import"):
        try:
            found: dict[str, Any] = queen.get(f"/gdpr/{kind}/{request}")
        except NotFound as error:
            missing = error
        else:
            return found
    raise missing


def _wait(queen: Any, url: str) -> dict[str, Any]:
    from rbee_cli.errors import CliError

    while True:
        found: dict[str, Any] = queen.get(url)
        if found["state"] == "failed":
            raise CliError(f"it failed at {found['step']} ({found['error']}): see the log of the worker")
        if found["state"] in OVER:
            return found
        time.sleep(WAIT_S)


def _save(queen: Any, request: str, output: Path) -> int:
    from rbee_cli.errors import CliError

    size = 0
    try:
        with output.open("wb") as file:
            for chunk in queen.chunks(f"/gdpr/export/{request}/content"):
                size += file.write(chunk)
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}") from error
    return size


def _given(**fields: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _told(found: dict[str, Any]) -> str:
    return f"{sum(found['done'].values())} rows, {found['state']}"
