"""Keys that sign checkpoints and lie in no file of ours: in AWS KMS, or behind a program of the operator's.

    kms:alias/rbee-audit               an Ed25519 key of AWS KMS (ECC_NIST_EDWARDS25519, SIGN_VERIFY); needs botocore
    command:/usr/local/bin/hsm slot1   `hsm slot1 key` prints the public key, and `hsm slot1 sign` the signature of what it
                                       reads from standard input: 32 and 64 bytes in base64

Each signature is checked before it is used: a place that signs by another key publishes nothing.
"""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import subprocess
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gdpr.keys.base import KeysUnavailable
from gdpr.keys.kms import kms_client
from gdpr.log.note import KeyRefused, Signer, VerifyKey, refuse_name

KMS: Final = "kms:"
COMMAND: Final = "command:"
COMMAND_TIMEOUT_S: Final = 10.0
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class Place(Protocol):
    """Raises KeyRefused for what no retry mends, else OSError."""

    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


def signer_at(where: str, name: str, kms_endpoint: str = "") -> Signer:
    """Asks nothing yet. Raises KeyRefused."""
    refuse_name(name)
    if where.startswith(KMS):
        return PlacedSigner(name, KmsPlace(where.removeprefix(KMS), kms_endpoint))
    if where.startswith(COMMAND):
        return PlacedSigner(name, CommandPlace(where.removeprefix(COMMAND)))
    raise KeyRefused(f"{where!r} is no place of a signing key: it begins with {KMS} or {COMMAND}")


class PlacedSigner:
    """The public key is asked for when it is needed, and once."""

    def __init__(self, name: str, place: Place) -> None:
        self._name = name
        self._place = place
        self._key: VerifyKey | None = None

    @property
    def key(self) -> VerifyKey:
        if self._key is None:
            self._key = VerifyKey(self._name, self._place.public())
        return self._key

    def sign(self, message: bytes) -> bytes:
        key, signature = self.key, self._place.sign(message)
        if len(signature) != SIGNATURE_BYTES or not key.verifies(message, signature):
            self._key = None  # another one may be there by now
            raise OSError("what keeps the key of the audit log signs by another one than it says")
        return signature


class KmsPlace:
    def __init__(self, key_id: str, endpoint: str) -> None:
        if not key_id:
            raise KeyRefused(f"{KMS} names no key of the KMS")
        self._key_id = key_id
        try:
            self._client = kms_client(key_id, endpoint)
        except KeysUnavailable as error:
            raise KeyRefused(str(error)) from None

    def public(self) -> bytes:
        der = bytes(self._ask("get_public_key")["PublicKey"])
        try:
            key = load_der_public_key(der)
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyRefused(
                f"{KMS}{self._key_id} is no Ed25519 key: make one with the key spec ECC_NIST_EDWARDS25519"
            )
        return key.public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        answer = self._ask("sign", Message=message, MessageType="RAW", SigningAlgorithm="ED25519_SHA_512")
        return bytes(answer["Signature"])

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._client, what)(KeyId=self._key_id, **arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise OSError(f"the KMS refused: {code}") from None
        except BotoCoreError as error:
            raise OSError(f"the KMS does not answer: {type(error).__name__}") from None
        return answer


class CommandPlace:
    def __init__(self, command: str) -> None:
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise KeyRefused(f"{COMMAND}{command} makes no sense: {error}") from None
        if not self._command:
            raise KeyRefused(f"{COMMAND} names no program")

    def public(self) -> bytes:
        return self._bytes_of("key", PUBLIC_BYTES)

    def sign(self, message: bytes) -> bytes:
        return self._bytes_of("sign", SIGNATURE_BYTES, message)

    def _bytes_of(self, what: str, length: int, message: bytes = b"") -> bytes:
        program = self._command[0]
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
        try:
            done = subprocess.run(
                [*self._command, what], input=message, capture_output=True, timeout=COMMAND_TIMEOUT_S, env=theirs,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise OSError(f"{program} {what} took longer than {COMMAND_TIMEOUT_S:.0f} seconds") from None
        except (FileNotFoundError, PermissionError) as error:
            raise KeyRefused(f"{program} cannot be run: {error.strerror}") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise OSError(f"{program} {what} ended with {done.returncode}: {said}")
        try:
            found = base64.b64decode(done.stdout.strip(), validate=True)
        except binascii.Error:
            found = b""
        if len(found) != length:
            raise KeyRefused(f"{program} {what} prints no {length} bytes in base64")
        return found
