"""Trying scripts in processes that they may crash, a few at a time. Takes some tenths of a second: never inside a
transaction, nor on an event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from inference.domain.errors import Busy
from rbee_policy.apart import Crashed, NotRun, run_apart

AT_ONCE: Final = 2  # of this process
WAIT_S: Final = 30.0
REASON_CHARS: Final = 200

_places = threading.BoundedSemaphore(AT_ONCE)


class Vetted(NamedTuple):
    """`crash` says how it ended the process; `refused` why it can be of no use. With neither it may be in force.
    `findings` are what it stumbled over."""

    crash: str = ""
    refused: str = ""
    findings: tuple[dict[str, Any], ...] = ()


def vet(source: str) -> Vetted:
    """Raises Busy when nothing came of it."""
    try:
        verdict = msgspec.json.decode(
            apart("rbee_policy.vetting", [msgspec.json.encode({"source": source})]), type=dict[str, Any]
        )
    except Crashed as crashed:
        return Vetted(crash=f"{crashed} while it ran {crashed.note}"[:REASON_CHARS])
    return Vetted(refused=verdict["refused"], findings=tuple(verdict["findings"]))


def apart(module: str, chunks: Iterable[bytes]) -> bytes:
    """Raises Crashed and Busy."""
    with _place():
        try:
            return run_apart(module, chunks)
        except NotRun as error:
            raise Busy(f"the script could not be tried: {error}; try again", code="policy_busy") from None


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=WAIT_S):
        raise Busy("too many scripts are being tried; try again", code="policy_busy")
    try:
        yield
    finally:
        _places.release()
