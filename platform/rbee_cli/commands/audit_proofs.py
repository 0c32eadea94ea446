"""`rbee audit verify`, `checkpoint`, `proof`, `key`, `keygen` and `signer`: checking the audit log, also without a queen."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rbee_cli.arguments import ApiKey, AsJson, QueenUrl

if TYPE_CHECKING:
    from gdpr.log.checkpoint import Checkpoint
    from gdpr.log.note import VerifyKey
    from gdpr.log.verify import Problem, Report
    from gdpr.log.witness import WitnessKey
    from rbee_cli.client import QueenClient

VERIFY_EPILOG = """Examples:

  rbee audit verify                                                  the log of `rbee up` on this machine

  rbee audit verify /mnt/second --key audit.key --checkpoint kept.txt          without a queen

  rbee audit verify --database                                       and the rows of the database

Exit codes: 0 all is as it was signed, 1 it is not, 2 wrong usage.
"""
CHECKPOINT_EPILOG = """Examples:

  rbee audit checkpoint

  rbee audit checkpoint --keep kept.txt          check that the log only grew since, and keep the newest
"""
PROOF_EPILOG = """Examples:

  rbee audit proof 01936f1e-5d3a-7c41-9a55-2f0d6c1e8b7a --out entry.tlog-proof

  rbee audit proof --check entry.tlog-proof --key audit.key          without a queen
"""
KEY_EPILOG = """Examples:

  rbee audit key --out audit.key
"""
KEYGEN_EPILOG = """Examples:

  rbee audit keygen rbee.example.org/audit --out /etc/rbee/audit-key
"""
SIGNER_EPILOG = """Examples:

  rbee audit signer kms:alias/rbee-audit --name rbee.example.org/audit

  rbee audit signer "command:/usr/local/bin/hsm slot1" --name rbee.example.org/audit

Exit codes: 0 it signs, 1 it does not answer, 2 it is no place of such a key.
"""

Keys = Annotated[
    str, typer.Option("--key", help="The key to verify by (NAME+ID+KEY), or a file of keys.", metavar="KEY")
]


def add_to(app: typer.Typer) -> None:
    app.command(epilog=VERIFY_EPILOG)(verify)
    app.command(epilog=CHECKPOINT_EPILOG)(checkpoint)
    app.command(epilog=PROOF_EPILOG)(proof)
    app.command("key", epilog=KEY_EPILOG)(show_key)
    app.command(epilog=KEYGEN_EPILOG)(keygen)
    app.command(epilog=SIGNER_EPILOG)(signer)


def verify(
    folder: Annotated[
        Path | None, typer.Argument(help="The files of the log.", show_default="of `rbee up`")
    ] = None,
    key: Keys = "",
    kept: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A checkpoint that you kept; may be given again."),
    ] = None,
    witness: Annotated[
        str, typer.Option(help="The key of a witness: it has to have signed too.", metavar="KEY")
    ] = "",
    database: Annotated[
        bool, typer.Option("--database", help="Compare the rows of the database too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check every entry of the audit log: signature, tree, no gap, nothing taken back."""
    from gdpr.log.store import KEYS, FolderStore
    from gdpr.log.verify import verify_log
    from rbee_cli.errors import CliError, UsageError

    place = folder or audit_folder()
    if not place.is_dir():
        raise UsageError(f"{place} is no folder: name the one that holds the files of the log")
    older = [(str(path), read_file(path)) for path in kept or []]
    try:
        report = verify_log(
            FolderStore(place), read_keys(key or str(place / KEYS)), older, _read_witness(witness)
        )
        problems = list(report.problems)
        if database and report.size:
            problems += compare_with_database(place, report)
    except OSError as error:
        raise CliError(f"{error.filename or place} cannot be read: {error.strerror}") from error
    tell(report, problems, [str(path) for path in kept or []], as_json=as_json, has_key=bool(key))


def _read_witness(text: str) -> WitnessKey | None:
    from gdpr.log.note import KeyRefused
    from gdpr.log.witness import read_witness_key
    from rbee_cli.errors import UsageError

    try:
        return read_witness_key(text) if text else None
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused


def tell(
    report: Report, problems: Sequence[Problem], kept: Sequence[str], *, as_json: bool, has_key: bool
) -> None:
    from rbee_cli.errors import CliError
    from rbee_cli.output import Output

    if problems and not as_json:
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise CliError(f"{problems[0]}{more}", detail="\n".join(str(each) for each in problems[1:]))
    found = [{"where": each.where, "what": each.what} for each in problems]
    data = {
        "ok": not problems,
        "origin": report.origin,
        "size": report.size,
        "first": report.first,
        "minimum_index": report.minimum,
        "witnessed": report.witnessed,
        "problems": found,
    }
    text = f"fine: {report.size} entries of {report.origin or 'an empty log'}, as they were signed"
    text += f"; those below {report.minimum} are over" if report.minimum else ""
    text += f"; {report.witnessed} of them are witnessed" if report.witnessed else ""
    text += f"; they begin with those of {', '.join(kept)}" if kept else ""
    Output(as_json=as_json).result(data, text)
    if not has_key:
        Output(as_json=as_json).say(
            "the key came from the folder itself: who can change one can change both", "yellow"
        )
    if problems:
        raise typer.Exit(1)


def compare_with_database(place: Path, report: Report) -> list[Problem]:
    from itertools import islice

    import psycopg

    from gdpr.log.rows import compare_rows
    from gdpr.log.store import FolderStore
    from gdpr.log.tiles import Tiles
    from gdpr.log.verify import PROBLEMS_MAX
    from rbee_cli.errors import CliError

    url, role = database_of_log(place)
    store = FolderStore(place)
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            connection.execute(f"SET ROLE {role}")
            tiles = Tiles(report.size, store.read, store.widths)
            return list(islice(compare_rows(connection, tiles, report.minimum), PROBLEMS_MAX))
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0]
        raise CliError(f"the database does not answer: {said}") from error


def checkpoint(
    keep: Annotated[
        Path | None,
        typer.Option(help="Where you keep the last one: the newest has to fit it, and takes its place."),
    ] = None,
    key: Keys = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Print the newest checkpoint, once its signature is checked."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        note = "".join(queen.text("/gdpr/audit/checkpoint"))
        keys = keys_of(queen, key)
        newest = opened(note, keys, "the newest checkpoint")
        if keep is not None and keep.exists():
            check_growth(queen, opened(read_file(keep), keys, str(keep)), newest)
    write_file(keep, note)
    root = base64.b64encode(newest.root).decode()
    Output(as_json=as_json).result(
        {"origin": newest.origin, "size": newest.size, "root": root, "note": note}, note.rstrip("\n")
    )


def check_growth(queen: QueenClient, old: Checkpoint, new: Checkpoint) -> None:
    from gdpr.log.tree import verify_consistency
    from rbee_cli.errors import CliError

    if old.size > new.size:
        raise CliError(f"the log was rolled back: it had {old.size} entries and has {new.size}")
    answer = queen.get("/gdpr/audit/proof", **{"from": old.size, "to": new.size})
    try:
        hashes = [base64.b64decode(each, validate=True) for each in answer["hashes"]]
    except (ValueError, TypeError, KeyError):
        hashes = []
    if not verify_consistency(old.size, new.size, hashes, old.root, new.root):
        raise CliError(f"the log is another one: its first {old.size} entries are not those that were kept")


def proof(
    entry: Annotated[str, typer.Argument(help="The id of an entry, or its place in the log.")] = "",
    out: Annotated[Path | None, typer.Option(help="Keep the proof in this file.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check a proof that was kept; asks no queen.", metavar="FILE")
    ] = None,
    key: Keys = "",
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Prove that an entry is in the audit log."""
    from gdpr.log.note import NoteRefused
    from gdpr.log.proof import ProofRefused, check_proof
    from rbee_cli.client import QueenClient
    from rbee_cli.errors import CliError, UsageError
    from rbee_cli.output import Output

    if bool(entry) == (check is not None):
        raise UsageError("name an entry, or a file by --check")
    if check is not None:
        if not key:
            raise UsageError("--check needs the key to verify by: --key KEY")
        keys, text = read_keys(key), read_file(check)
    else:
        with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
            asked: dict[str, str | int] = {"index": int(entry)} if entry.isdecimal() else {"entry": entry}
            text = str(queen.get("/gdpr/audit/proof", **asked)["proof"])
            keys = keys_of(queen, key)
    try:
        found, at = check_proof(text, keys)
    except (ProofRefused, NoteRefused) as refused:
        raise CliError(f"the proof is refused: {refused}") from refused
    write_file(out, text)
    said = found.entry.decode(errors="replace")
    data = {"index": found.index, "size": at.size, "origin": at.origin, "entry": said, "proof": text}
    Output(as_json=as_json).result(
        data, f"entry {found.index} of {at.size} in {at.origin}, as signed:\n{said}"
    )


def show_key(
    out: Annotated[Path | None, typer.Option(help="Keep it in this file.")] = None,
    as_json: AsJson = False,
    queen_url: QueenUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Print the key by which the audit log is verified."""
    from rbee_cli.client import QueenClient
    from rbee_cli.output import Output

    with QueenClient("management", queen_url=queen_url, api_key=api_key) as queen:
        text = "".join(queen.text("/gdpr/audit/key"))
    write_file(out, text)
    Output(as_json=as_json).result({"keys": text.splitlines()}, text.rstrip("\n"))


def keygen(
    name: Annotated[
        str, typer.Argument(help="A name that no other log has, such as rbee.example.org/audit.")
    ],
    out: Annotated[Path, typer.Option(help="The file of the new key; it must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Make a key that signs checkpoints, and print the one by which they are verified."""
    from gdpr.log.note import KeyRefused, make_signer
    from rbee_cli.errors import CliError, UsageError
    from rbee_cli.output import Output

    try:
        signer = make_signer(name)
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(signer.secret_text() + "\n")
    except FileExistsError:
        raise CliError(f"{out} is there already, and no key is written over") from None
    except OSError as error:
        raise CliError(f"{out} cannot be written: {error.strerror}") from error
    Output(as_json=as_json).result({"file": str(out), "key": str(signer.key)}, str(signer.key))


def signer(
    where: Annotated[
        str, typer.Argument(envvar="RBEE_AUDIT_SIGNER", help="kms:KEY or command:PROGRAM.", metavar="WHERE")
    ],
    name: Annotated[
        str, typer.Option(envvar="RBEE_AUDIT_ORIGIN", help="The name under which that key signs.")
    ],
    as_json: AsJson = False,
) -> None:
    """Have a key that a KMS or another program keeps sign something, and print the one by which it is verified."""
    from gdpr.log.note import KeyRefused
    from gdpr.log.signers import signer_at
    from rbee_cli.errors import CliError, UsageError
    from rbee_cli.output import Output

    try:
        found = signer_at(where, name, os.environ.get("RBEE_KMS_ENDPOINT", ""))
        found.sign(b"rbee audit signer: does it sign?\n")
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused
    except OSError as error:
        raise CliError(str(error)) from error
    Output(as_json=as_json).result({"key": str(found.key)}, str(found.key))


def keys_of(queen: QueenClient, key: str) -> list[VerifyKey]:
    from gdpr.log.note import KeyRefused, read_verify_key
    from rbee_cli.errors import CliError

    if key:
        return read_keys(key)
    try:
        lines = "".join(queen.text("/gdpr/audit/key")).splitlines()
        return [read_verify_key(line) for line in lines if line]
    except KeyRefused as refused:
        raise CliError(f"the queen's key makes no sense: {refused}") from refused


def read_keys(text_or_path: str) -> list[VerifyKey]:
    from gdpr.log.note import KeyRefused, read_verify_keys
    from rbee_cli.errors import UsageError

    try:
        return read_verify_keys(text_or_path)
    except KeyRefused as refused:
        raise UsageError(str(refused)) from refused


def opened(note: str, keys: list[VerifyKey], name: str) -> Checkpoint:
    from gdpr.log.checkpoint import open_checkpoint
    from gdpr.log.note import NoteRefused
    from rbee_cli.errors import CliError

    try:
        return open_checkpoint(note, keys)
    except NoteRefused as refused:
        raise CliError(f"{name} is refused: {refused}") from refused


def read_file(path: Path) -> str:
    from rbee_cli.errors import UsageError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"{path} cannot be read: {reason}") from error


def write_file(path: Path | None, text: str) -> None:
    from rbee_cli.errors import CliError

    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from error


def audit_folder() -> Path:
    from rbee_cli.up.folders import default_data_dir

    data_dir = Path(os.environ.get("RBEE_DATA_DIR") or default_data_dir())
    return Path(os.environ.get("RBEE_AUDIT_DIR") or data_dir / "audit").expanduser()


def database_of_log(place: Path) -> tuple[str, str]:
    """Its URL, and the role that sees the entries of all tenants. Raises UsageError."""
    from rbee_cli.errors import UsageError
    from rbee_cli.up.environment import setting
    from rbee_cli.up.folders import Folders, read_secret
    from rbee_cli.up.postgres import DATABASE, SEQUENCER

    if url := setting("RBEE_AUDIT_DATABASE_URL"):
        return url, SEQUENCER
    if url := setting("RBEE_DATABASE_URL"):
        return url, "rbee_colony"
    folders = Folders(place.absolute().parent)  # as `rbee up` lays them
    try:
        password, port = read_secret(folders, SEQUENCER), (folders.run / "postgres.port").read_text().strip()
    except OSError as error:
        raise UsageError(
            f"{folders.data} holds no database of `rbee up`: name one by RBEE_AUDIT_DATABASE_URL"
        ) from error
    return f"postgresql://{SEQUENCER}:{password}@127.0.0.1:{port}/{DATABASE}", SEQUENCER
