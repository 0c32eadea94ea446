"""`POST /hive/v1/receipts`: what hives say their tasks used, into the books.

A receipt is believed when the hive that sends it signed it, and when the envelope in it is ours and speaks of the same
task, attempt and hive. What cannot be believed is refused for good, with a code, so that the hive does not send it again;
what could not be booked because the database is away is not answered at all, so that it does.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import Error as DatabaseError
from psycopg_pool import PoolTimeout

from billing.domain.fence import fenced_tasks
from billing.domain.price_book import PriceBook, PricesDown
from billing.domain.settlement import Settlement
from gdpr.threads import in_thread
from hive_agent import protocol
from hive_agent.protocol import Outcome, Receipt, RefusedReceipt, SignedReceipt
from inference.api import errors
from inference.api.authentication import bearer_token
from inference.api.exchange import Exchange
from inference.domain.envelope import BadEnvelope, Envelope, open_envelope
from inference.domain.hives import hive_by_credential
from inference.domain.tokens import token_mac

if TYPE_CHECKING:
    from inference.api.queen import Queen

MSGPACK: Final = (b"content-type", b"application/msgpack")
MAX_BODY_BYTES: Final = 16 << 20
MAX_RECEIPTS: Final = 1000
REMEMBERED_S: Final = 5.0
CHECKED_IN_THREAD: Final = 8  # so many signatures take about a millisecond
OUTCOMES: Final = frozenset(Outcome)

_log = logging.getLogger(__name__)


class HiveCredentials:
    """Which hive a credential belongs to, remembered for 5 s."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[SendingHive, float]] = {}

    async def hive_of(self, credential: str) -> SendingHive | None:
        """Raises django.db.Error while the database is away."""
        mac = token_mac("hive", credential)
        known = self._known.get(mac)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        hive = await in_thread(hive_by_credential)(credential)
        if hive is None:
            self._known.pop(mac, None)
            return None
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(hive.public_key))
        sending = SendingHive(hive.id.hex, hive.name, key)
        self._known[mac] = (sending, time.monotonic() + REMEMBERED_S)
        return sending

    def forget(self) -> None:
        self._known.clear()


class SendingHive(msgspec.Struct, frozen=True):
    id: str  # hex
    name: str
    public_key: Ed25519PublicKey


class Checked(msgspec.Struct, frozen=True):
    """A receipt that is to be believed."""

    signed: SignedReceipt
    receipt: Receipt
    envelope: Envelope


async def take_receipts(queen: Queen, exchange: Exchange) -> None:
    hive = await _sender(queen, exchange)
    try:
        batch = protocol.decode_receipt_batch(await exchange.read_body(MAX_BODY_BYTES))
    except msgspec.DecodeError as error:
        raise errors.invalid(f"The body is no batch of receipts: {error}.", code="invalid_msgpack") from None
    if batch.version != protocol.VERSION:
        raise errors.invalid(
            f"This queen speaks version {protocol.VERSION} of the hive protocol, not {batch.version}.",
            "version",
            "unsupported_version",
        )
    if len(batch.receipts) > MAX_RECEIPTS:
        raise errors.invalid(f"A batch has at most {MAX_RECEIPTS} receipts.", "receipts")
    try:
        answer = await _settle(queen, hive, batch.receipts)
    except (psycopg.Error, PoolTimeout, PricesDown, ConnectionError) as error:
        _log.warning("receipts of %s could not be booked: %s", hive.name, type(error).__name__)
        raise errors.unavailable(
            "The books cannot be written at the moment; send the receipts again."
        ) from None
    for refused in answer.refused:
        _log.warning("receipt of %s for task %s refused: %s", hive.name, refused.task[:32], refused.code)
    await exchange.respond(protocol.encode(answer), headers=[MSGPACK])


def check_receipt(hive: SendingHive, signed: SignedReceipt) -> Checked | RefusedReceipt:
    try:
        receipt = protocol.decode_receipt(signed.payload)
    except msgspec.DecodeError:
        return RefusedReceipt("", 0, "bad_receipt", "the payload is no receipt")
    try:
        hive.public_key.verify(signed.signature, signed.payload)
    except InvalidSignature:
        return _refused(receipt, "bad_signature", "the signature is not that of this hive")
    try:
        envelope = open_envelope(receipt.envelope)
    except BadEnvelope as error:
        return _refused(receipt, "bad_envelope", str(error))
    said = (receipt.task, receipt.attempt, receipt.hive)
    if said != (envelope.task, envelope.attempt, envelope.hive) or receipt.hive != hive.id:
        return _refused(receipt, "bad_envelope", "the envelope was sealed for another task, attempt or hive")
    if receipt.outcome not in OUTCOMES:
        return _refused(receipt, "bad_receipt", f"there is no outcome {receipt.outcome[:32]!r}")
    return Checked(signed, receipt, envelope)


async def settlement_of(prices: PriceBook, checked: Checked) -> Settlement | None:
    """None when nobody knows the price that the envelope names. Raises PricesDown."""
    receipt, envelope = checked.receipt, checked.envelope
    price = await prices.version(envelope.price)
    if price is None:
        return None
    return Settlement(
        **_facts(envelope),
        price=price,
        attempt=envelope.attempt,
        outcome=receipt.outcome,
        usage=receipt.usage,
        began_at_ms=receipt.began_at_ms,
        first_token_at_ms=receipt.first_token_at_ms,
        ended_at_ms=receipt.ended_at_ms,
        receipt=checked.signed.payload,
        signature=checked.signed.signature,
    )


async def settlement_of_lost(prices: PriceBook, envelope: Envelope, attempt: int) -> Settlement | None:
    """Of a task that no hive will report: it used nothing. `attempt` is the lowest that its fence lets through. None and
    PricesDown as above."""
    price = await prices.version(envelope.price)
    if price is None:
        return None
    return Settlement(
        **_facts(envelope), price=price, attempt=attempt, outcome=Outcome.WORKER_FAILED, usage={}
    )


def _facts(envelope: Envelope) -> dict[str, Any]:
    """What the queen knew when it gave the task away."""
    return {
        "task_id": envelope.task,
        "tenant_id": envelope.tenant,
        "project_id": envelope.project,
        "key_id": envelope.key,
        "request_id": envelope.request_id,
        "subject": envelope.subject,
        "endpoint": envelope.endpoint,
        "model": envelope.model,
        "hive_id": envelope.hive,
        "worker": envelope.worker,
        "region": envelope.region,
        "decision": {**envelope.decision, "policies": envelope.policies},
        "admitted_at_ms": envelope.admitted_at_ms,
        "slice_id": envelope.slice,
        "hold_micros": envelope.hold_micros,
    }


async def _sender(queen: Queen, exchange: Exchange) -> SendingHive:
    credential = bearer_token(exchange)
    if not credential:
        raise errors.no_key()
    try:
        hive = await queen.hive_credentials.hive_of(credential)
    except DatabaseError as error:
        _log.warning("a hive's credential could not be checked: %s", type(error).__name__)
        raise errors.unavailable("Credentials cannot be checked at the moment; try again.") from None
    if hive is None:
        raise errors.wrong_key()
    return hive


async def _settle(queen: Queen, hive: SendingHive, receipts: list[SignedReceipt]) -> protocol.ReceiptAnswer:
    results = await _check_all(hive, receipts)
    refused = [result for result in results if isinstance(result, RefusedReceipt)]
    believed = [result for result in results if isinstance(result, Checked)]
    settlements: list[Settlement] = []
    for checked in believed:
        settlement = await settlement_of(queen.prices, checked)
        if settlement is None:
            refused.append(_refused(checked.receipt, "bad_envelope", "it names a price that nobody knows"))
        else:
            settlements.append(settlement)
    is_booked = await queen.gatherer.settle(settlements)
    settled = [each.task_id for each, booked in zip(settlements, is_booked, strict=True) if booked]
    missing = [each for each, booked in zip(settlements, is_booked, strict=True) if not booked]
    if missing:
        refused += await _explain_missing(queen, missing)
    return protocol.ReceiptAnswer(settled=settled, refused=refused)


async def _check_all(hive: SendingHive, receipts: list[SignedReceipt]) -> list[Checked | RefusedReceipt]:
    if len(receipts) <= CHECKED_IN_THREAD:
        return [check_receipt(hive, signed) for signed in receipts]
    return await asyncio.to_thread(lambda: [check_receipt(hive, signed) for signed in receipts])


async def _explain_missing(queen: Queen, missing: list[Settlement]) -> list[RefusedReceipt]:
    fenced = await fenced_tasks(queen.pool, [(each.task_id, each.attempt) for each in missing])
    return [
        RefusedReceipt(each.task_id, each.attempt, "fenced", "a later attempt answers for this task")
        if each.task_id in fenced
        else RefusedReceipt(each.task_id, each.attempt, "bad_receipt", "its quantities cannot be booked")
        for each in missing
    ]


def _refused(receipt: Receipt, code: str, message: str) -> RefusedReceipt:
    return RefusedReceipt(receipt.task, receipt.attempt, code, message)
