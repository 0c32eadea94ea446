"""Somebody else who has seen the log grow, and says so: C2SP tlog-witness and tlog-cosignature (Ed25519).

A witness signs a checkpoint only when the log begins with what it signed before, so nobody can be shown another history
without a witness that knows of both. Its cosignature is one more line of the checkpoint, and others are left alone by it.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import httpx

from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.note import KeyRefused, NoteRefused, VerifyKey, key_id, read_key, signature_line, split_note
from gdpr.log.store import CHECKPOINT, Store
from gdpr.log.tiles import TileRefused, Tiles
from gdpr.log.tree import consistency_proof
from gdpr.log.writer import known_keys

COSIGNS: Final = b"\x04"  # the kind of key, for Ed25519
TIME_BYTES: Final = 8
SIGNATURE_BYTES: Final = 64
TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 16_384
ASK_EVERY_S: Final = 5.0  # while the log grows
RETRY_S: Final = 30.0

logger = logging.getLogger(__name__)


class WitnessRefused(Exception):
    """It says that this log is not the one that it saw."""


@dataclass(frozen=True, slots=True)
class WitnessKey:
    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, COSIGNS, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(COSIGNS + self.public).decode()}"


def read_witness_key(text: str) -> WitnessKey:
    """Raises KeyRefused."""
    name, identifier, public = read_key(text, COSIGNS)
    key = WitnessKey(name, public)
    if key.id != identifier:
        raise KeyRefused(f"the id of the key {name} is not of its name and key")
    return key


def cosigned_at(note: str | bytes, key: WitnessKey) -> int | None:
    """When this witness signed it, in seconds since 1970; None when it did not. Raises NoteRefused for a signature that
    is wrong."""
    text, signatures = split_note(note)
    found = None
    for name, raw in signatures:
        if name != key.name or raw[:4] != key.id:
            continue
        at = int.from_bytes(raw[4 : 4 + TIME_BYTES], "big")
        message, signature = cosigned_text(text, at), raw[4 + TIME_BYTES :]
        if len(signature) != SIGNATURE_BYTES or not VerifyKey(name, key.public).verifies(message, signature):
            raise NoteRefused(f"the cosignature of {name} is wrong")
        found = at
    return found


def cosigned_text(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


class Witness:
    """At a URL, known by its key."""

    def __init__(self, url: str, key: WitnessKey) -> None:
        self.key = key
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._size = 0  # that it signed last

    def cosign(self, note: str, checkpoint: Checkpoint, tiles: Tiles) -> str:
        """The note with its line. Raises WitnessRefused, TileRefused, and OSError for one that does not answer."""
        answer = self._ask(note, checkpoint, tiles)
        if answer.status_code == 409:
            self._size = _size_in(answer)
            if self._size > checkpoint.size:
                raise WitnessRefused(
                    f"{self.key.name} has seen {self._size} entries, and the log has {checkpoint.size}: it was rolled back"
                )
            answer = self._ask(note, checkpoint, tiles)
        if answer.status_code in {409, 422}:
            raise WitnessRefused(
                f"{self.key.name} has seen another log of this name: it answers {answer.status_code}"
            )
        if answer.status_code != 200:
            raise OSError(f"{self.key.name} answers {answer.status_code}")
        cosigned = note + self._line_of(note, answer.text)
        self._size = checkpoint.size
        return cosigned

    def _ask(self, note: str, checkpoint: Checkpoint, tiles: Tiles) -> httpx.Response:
        proof = consistency_proof(self._size, checkpoint.size, tiles.node) if self._size else []
        lines = [f"old {self._size}", *(base64.b64encode(each).decode() for each in proof), "", note]
        try:
            with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
                answer = client.post(self._url, content="\n".join(lines).encode())
        except httpx.HTTPError as error:
            raise OSError(f"{self.key.name} does not answer: {type(error).__name__}") from None
        if len(answer.content) > ANSWER_BYTES_MAX:
            raise OSError(f"{self.key.name} answers with {len(answer.content)} bytes")
        return answer

    def _line_of(self, note: str, answer: str) -> str:
        """What others signed, or it by another key, is left out."""
        try:
            whole = note + answer
            if cosigned_at(whole, self.key) is None:
                raise NoteRefused("by another key")
            signatures = split_note(whole)[1]
        except NoteRefused as refused:
            raise OSError(f"{self.key.name} answers with no cosignature of its own: {refused}") from None
        raw = next(raw for name, raw in signatures if name == self.key.name and raw[:4] == self.key.id)
        return signature_line(self.key.name, raw)


def _size_in(answer: httpx.Response) -> int:
    text = answer.text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise WitnessRefused("it signed another checkpoint of this size")
    return int(text)


class Witnessing:
    """Asks in a thread of its own: a witness that is slow or away holds nobody up. Ends with the `with`."""

    def __init__(self, store: Store, witness: Witness | None) -> None:
        self._store = store
        self._witness = witness
        self._size = 0
        self._found: deque[str] = deque(maxlen=1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Witnessing:
        if self._witness is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._witness is not None:
            self._thread.join(0.3)

    def take(self) -> str | None:
        """A checkpoint with its cosignature, once."""
        try:
            return self._found.popleft()
        except IndexError:
            return None

    def _run(self) -> None:
        assert self._witness is not None
        while True:
            wait = ASK_EVERY_S
            try:
                self._ask()
            except (WitnessRefused, NoteRefused, TileRefused, OSError) as error:
                logger.error("the audit log is not witnessed: %s", error)
                wait = RETRY_S
            if self._over.wait(wait):
                return

    def _ask(self) -> None:
        assert self._witness is not None
        raw = self._store.read(CHECKPOINT)
        if raw is None:
            return
        checkpoint = open_checkpoint(raw, known_keys(self._store))
        if checkpoint.size == self._size:
            return
        note = raw.decode()
        if cosigned_at(note, self._witness.key) is None:
            tiles = Tiles(checkpoint.size, self._store.read, self._store.widths)
            self._found.append(self._witness.cosign(note, checkpoint, tiles))
        self._size = checkpoint.size
