"""Attach this machine to a queen: a single-use token becomes credentials of the hive's own."""

from __future__ import annotations

import platform
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from hive_agent import devices
from hive_agent.credentials import Credentials, make_signing_key, public_key_of, save_credentials
from hive_agent.errors import JoinFailed, QueenUnreachable
from hive_agent.folder import Folder
from hive_agent.protocol import VERSION, JoinAnswer, JoinRequest
from hive_agent.version import SOFTWARE

TIMEOUT_S = 15


def join(
    url: str,
    token: str,
    dir: Path,  # noqa: A002
    name: str | None = None,
    *,
    replace: bool = False,
) -> Credentials:
    """Join the queen at `url` and keep the credentials in `dir`. `name` is this machine's when left out.

    A folder that belongs to a hive already is refused unless `replace`; receipts that wait in its spool stay there.
    Raises JoinFailed and QueenUnreachable.
    """
    folder = Folder(Path(dir))
    if folder.credentials.exists() and not replace:
        raise JoinFailed(f"{folder.path} belongs to a hive already: name another folder with --dir")
    queen_url = _checked(url)
    folder.make()
    key = make_signing_key(folder)
    request = JoinRequest(
        version=VERSION,
        token=token.strip(),
        name=name or platform.node() or "hive",
        public_key=public_key_of(key),
        software=SOFTWARE,
        devices=devices.detect(),
    )
    answer = _ask(queen_url, request)
    credentials = Credentials(
        queen_url=queen_url,
        hive=answer.hive,
        name=answer.name,
        credential=answer.credential,
        redis=answer.redis,
    )
    save_credentials(folder, credentials)
    return credentials


def is_joined(dir: Path) -> bool:  # noqa: A002
    folder = Folder(Path(dir))
    return folder.credentials.exists() and folder.signing_key.exists()


def _checked(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise JoinFailed(f"{url!r} is not the address of a queen: write it as http://HOST:7833")
    return f"{parts.scheme}://{parts.netloc}"


def _ask(queen_url: str, request: JoinRequest) -> JoinAnswer:
    try:
        response = httpx.post(
            f"{queen_url}/hive/v1/join",
            content=msgspec.json.encode(request),
            headers={"content-type": "application/json"},
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise QueenUnreachable(f"no queen answers at {queen_url}: {error or type(error).__name__}") from None
    if response.status_code != httpx.codes.OK:
        raise JoinFailed(
            f"the queen at {queen_url} refused: {error_message(response.content, response.status_code)}"
        )
    try:
        answer = msgspec.json.decode(response.content, type=JoinAnswer)
    except msgspec.DecodeError:
        raise JoinFailed(f"what answers at {queen_url} is not a queen of rbee") from None
    if answer.version != VERSION:
        raise JoinFailed(
            f"the queen at {queen_url} speaks version {answer.version} of the protocol and this hive {VERSION}: "
            "install the same release on both"
        )
    return answer


def error_message(content: bytes, status: int) -> str:
    """The message of an OpenAI-shaped error, else what the status says."""
    try:
        return msgspec.json.decode(content, type=_Envelope).error.message
    except msgspec.DecodeError:
        return f"HTTP {status}"


class _Error(msgspec.Struct):
    message: str
    code: str | None = None


class _Envelope(msgspec.Struct):
    error: _Error
