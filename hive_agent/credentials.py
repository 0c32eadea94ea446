"""Who this hive is: what the queen gave it when it joined, and the key that signs its receipts."""

from __future__ import annotations

import base64
from urllib.parse import quote, urlsplit

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hive_agent.errors import NotJoined
from hive_agent.folder import Folder, write_private
from hive_agent.protocol import RedisAccess

QUEEN_HOST = "queen"  # in a Redis URL: the host by which this hive reached the queen


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    queen_url: str
    hive: str
    name: str
    credential: str
    redis: RedisAccess

    @property
    def redis_url(self) -> str:
        return resolve_redis_url(self.redis, self.queen_url)


def load_credentials(folder: Folder) -> Credentials:
    try:
        return msgspec.json.decode(folder.credentials.read_bytes(), type=Credentials)
    except FileNotFoundError:
        raise NotJoined(
            f"{folder.path} is not the folder of a hive: run `rbee hive join URL --token TOKEN` first"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise NotJoined(f"cannot read {folder.credentials}: {error}") from None


def save_credentials(folder: Folder, credentials: Credentials) -> None:
    write_private(folder.credentials, msgspec.json.format(msgspec.json.encode(credentials)))


def make_signing_key(folder: Folder) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder.signing_key, pem)
    return key


def load_signing_key(folder: Folder) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(folder.signing_key.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise NotJoined(f"cannot read {folder.signing_key}: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise NotJoined(f"{folder.signing_key} is not an Ed25519 key")
    return key


def public_key_of(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def resolve_redis_url(access: RedisAccess, queen_url: str) -> str:
    """The URL with user, password and the real host in it."""
    parts = urlsplit(access.url)
    host = parts.hostname or QUEEN_HOST
    if host == QUEEN_HOST:
        host = urlsplit(queen_url).hostname or "localhost"
    if ":" in host:
        host = f"[{host}]"
    port = f":{parts.port}" if parts.port else ""
    user = f"{quote(access.username, safe='')}:{quote(access.password, safe='')}@"
    return f"{parts.scheme}://{user}{host}{port}{parts.path}{'?' + parts.query if parts.query else ''}"
