"""Keys in AWS KMS, or in what speaks its protocol: they never leave it. `RBEE_KMS_KEYS` names them, the one that wraps
first; credentials and region are those of the environment, as every AWS program takes them. Needs botocore:
`pip install 'rbee[kms]'`.

What was unwrapped is remembered for a minute, so that a page of entries asks once for each person.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

from gdpr.keys.base import KeyInfo, KeysUnavailable, NotRotatable, Wrapped, WrongKey

CONNECT_TIMEOUT_S: Final = 2
READ_TIMEOUT_S: Final = 3
REMEMBERED_S: Final = 60.0
REMEMBERED_MAX: Final = 1024
NOT_THIS: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


class KmsKeys:
    place = "kms"

    def __init__(self, names: Sequence[str], endpoint: str = "") -> None:
        self._names = tuple(names)
        self._client = kms_client(self._names[0], endpoint)
        self._known: dict[tuple[bytes, bytes], tuple[bytes, float]] = {}
        self._lock = Lock()

    def wrap(self, data_key: bytes, purpose: bytes) -> Wrapped:
        answer = self._ask(
            "encrypt", KeyId=self._names[0], Plaintext=data_key, EncryptionContext=_context(purpose)
        )
        return Wrapped(self.newest(), bytes(answer["CiphertextBlob"]))

    def unwrap(self, wrapped: Wrapped, purpose: bytes) -> bytes:
        known = (wrapped.blob, purpose)
        with self._lock:
            found = self._known.get(known)
        if found is not None and found[1] > time.monotonic():
            return found[0]
        name = wrapped.key_id.removeprefix(f"{self.place}:")
        answer = self._ask(
            "decrypt", KeyId=name, CiphertextBlob=wrapped.blob, EncryptionContext=_context(purpose)
        )
        data_key = bytes(answer["Plaintext"])
        with self._lock:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[known] = (data_key, time.monotonic() + REMEMBERED_S)
        return data_key

    def list_keys(self) -> list[KeyInfo]:
        found = []
        for place, name in enumerate(self._names):
            made = self._ask("describe_key", KeyId=name)["KeyMetadata"]["CreationDate"]
            found.append(KeyInfo(f"{self.place}:{name}", made.strftime("%Y-%m-%dT%H:%M:%SZ"), place == 0))
        return found

    def newest(self) -> str:
        return f"{self.place}:{self._names[0]}"

    def rotate(self) -> str:
        raise NotRotatable(
            "These keys are the KMS's: put another one first in RBEE_KMS_KEYS and start the queens again. What the KMS"
            " rotates by itself needs nothing here."
        )

    def retire(self, key_id: str) -> None:
        raise NotRotatable("These keys are the KMS's: take it out of RBEE_KMS_KEYS, then disable it there.")

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._client, what)(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in NOT_THIS:
                raise WrongKey("this was not wrapped by this key for this place, or was altered") from None
            raise KeysUnavailable(f"the KMS refused: {code}") from None
        except BotoCoreError as error:
            raise KeysUnavailable(f"the KMS does not answer: {type(error).__name__}") from None
        return answer


def _context(purpose: bytes) -> dict[str, str]:
    """The KMS writes it into its own log in plain, so it names nobody."""
    return {"rbee": base64.b64encode(hashlib.sha256(purpose).digest()).decode()}


def kms_client(name: str, endpoint: str) -> Any:
    """Raises KeysUnavailable."""
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import get_session
    except ImportError:
        raise KeysUnavailable("a key in a KMS needs botocore: pip install 'rbee[kms]'") from None
    parts = name.split(":")  # arn:aws:kms:REGION:ACCOUNT:key/ID
    region = parts[3] if name.startswith("arn:") and len(parts) > 3 else None
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "max_attempts": 2},
    )
    try:
        return get_session().create_client(
            "kms", region_name=region, endpoint_url=endpoint or None, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise KeysUnavailable(f"the KMS cannot be asked: {error}") from None
