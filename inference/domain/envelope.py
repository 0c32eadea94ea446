"""What settlement has to know of a task, sealed by the queen, carried by the hive and returned in its receipt.

The queen keeps nothing of a task that runs. Any queen of the colony can open what another one sealed: the key is derived
from a root secret that they share.
"""

from __future__ import annotations

import hmac
from typing import Any

import msgspec

from gdpr.secrets import derive, is_mac

SECRET_LABEL = "envelope"  # noqa: S105 -- a label
MAC_BYTES = 32


class BadEnvelope(Exception):
    """Not sealed by this colony, or altered since."""


class Envelope(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Identifiers are UUIDs in hex. Fields may only be appended, with a default: receipts come late."""

    task: str
    attempt: int
    tenant: str
    project: str
    key: str  # empty: keyless
    subject: str  # pseudonym of the tenant's end user, or empty
    model: str
    endpoint: str
    hive: str
    worker: str
    price: str  # id of the price's version
    tier: str
    region: str  # where it ran
    request_id: str
    admitted_at_ms: int
    policies: list[str] = []  # sha256 of each script that decided, the operator's first
    decision: dict[str, Any] = {}  # candidates, choice, why
    slice: str = ""  # the budget slice that holds money for it
    hold_micros: int = 0


def seal(envelope: Envelope) -> bytes:
    payload = _encode(envelope)
    return _mac(payload) + payload


def open_envelope(sealed: bytes) -> Envelope:
    """Raises BadEnvelope."""
    mac, payload = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
    if not is_mac(mac, SECRET_LABEL, payload):
        raise BadEnvelope("the envelope was not sealed by this colony")
    try:
        return _decode(payload)
    except msgspec.MsgspecError as error:
        raise BadEnvelope(f"the envelope is of another version: {error}") from None


def _mac(payload: bytes) -> bytes:
    return hmac.digest(derive(SECRET_LABEL), payload, "sha256")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode
