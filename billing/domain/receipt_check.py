"""Whether the bytes that a hive signed say what the books say of its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from billing.domain.receipt_keys import KeyRing
from billing.enums import DifferenceKind
from billing.stripe_types import AtStripe
from hive_agent import protocol
from hive_agent.protocol import CHARGED_OUTCOMES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)

# What of an event the hive signed, and what the queen sealed for it.
SIGNED = ("task_id", "attempt", "hive_id", "outcome", "usage", "began_at", "first_token_at", "ended_at")
SEALED = (
    "task_id", "attempt", "tenant_id", "project_id", "key_id", "price_id", "request_id", "subject", "endpoint", "model",
    "hive_id", "worker", "region", "admitted_at",
)  # fmt: skip


class Outside(NamedTuple):
    """What the books cannot know: of hives, and what Stripe has. `open_envelope`: by the names of SEALED, identifiers in
    hex and times in ms; None for one that is not ours."""

    keys: KeyRing
    open_envelope: Callable[[bytes], Mapping[str, Any] | None]
    stripe: AtStripe | None = None  # None: nobody pays by it


class Mismatch(NamedTuple):
    kind: DifferenceKind
    expected: str
    found: str


def check_receipt(event: Mapping[str, Any], outside: Outside) -> Iterator[Mismatch]:
    """`event`: columns of one. None at all when it is as the hive signed it."""
    payload, signature = bytes(event["receipt"]), bytes(event["signature"])
    if not payload:
        if event["receipt_erased"]:
            return  # it was there until its end user was erased
        if event["usage"] or event["amount_micros"] or event["outcome"] in CHARGED_OUTCOMES:
            yield Mismatch(
                DifferenceKind.RECEIPT_MISSING, "a receipt", f"{event['outcome']}, {shown(event['usage'])}"
            )
        return
    hive_id: UUID | None = event["hive_id"]
    if hive_id is None or not outside.keys.is_signed(hive_id, payload, signature):
        signer = f"hive {hive_id.hex}" if hive_id else "a hive"
        yield Mismatch(DifferenceKind.RECEIPT_SIGNATURE, f"the signature of {signer}", "another, or none")
        return
    try:
        receipt = protocol.decode_receipt(payload)
    except msgspec.DecodeError:
        yield Mismatch(DifferenceKind.RECEIPT_FACTS, "a receipt", "bytes that are none")
        return
    yield from _compare(
        DifferenceKind.RECEIPT_FACTS, {name: _signed(receipt, name) for name in SIGNED}, event
    )
    sealed = outside.open_envelope(receipt.envelope)
    if sealed is None:
        yield Mismatch(DifferenceKind.ENVELOPE, "an envelope of this colony", "another")
    else:
        yield from _compare(DifferenceKind.ENVELOPE, {name: sealed[name] for name in SEALED}, event)


def shown(value: object) -> str:
    """As text, the same for the same."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={value[name]}" for name in sorted(value)) or "nothing"
    return str(value)


def _signed(receipt: protocol.Receipt, name: str) -> Any:
    names = {
        "task_id": "task", "hive_id": "hive", "began_at": "began_at_ms", "first_token_at": "first_token_at_ms",
        "ended_at": "ended_at_ms",
    }  # fmt: skip
    return getattr(receipt, names.get(name, name))


def _compare(kind: DifferenceKind, said: Mapping[str, Any], event: Mapping[str, Any]) -> Iterator[Mismatch]:
    booked = {name: _plain(event[name], like=said[name]) for name in said}
    wrong = [name for name in said if said[name] != booked[name]]
    if wrong:
        yield Mismatch(
            kind,
            "; ".join(f"{name}: {shown(said[name])}" for name in wrong),
            "; ".join(f"{name}: {shown(booked[name])}" for name in wrong),
        )


def _plain(value: Any, *, like: Any) -> Any:
    """As receipts and envelopes have it: identifiers in hex, times in ms, 0 or empty for none."""
    if value is None:
        return type(like)()
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return round((value - EPOCH) / MS)
    return value
