"""`Idempotency-Key`: the same request, sent again, is answered by the task of the first.

The first request under a key goes on when its client goes away, because that client will ask again. Its answer is
written down as it leaves; who comes later gets the same bytes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from hive_agent.protocol import Endpoint
from inference.api import errors
from inference.api.delivery import Deliveries, apologise
from inference.api.exchange import SSE, ClientGone, Exchange, Message
from inference.domain.failures import TaskFailed
from inference.domain.idempotency import (
    ANSWER_BYTES,
    Answer,
    Idempotency,
    Run,
    Scope,
    scope_of,
)
from inference.domain.refusals import Refused
from tenants.domain.authentication import Caller

HEADER: Final = b"idempotency-key"
MAX_LENGTH: Final = 255
REPEATED: Final = frozenset({b"content-type", b"retry-after", b"x-should-retry"})
WAIT: Final = re.compile(r"wait\s*=\s*([0-9]{1,5})")


async def answer_once(
    idempotency: Idempotency,
    deliveries: Deliveries,
    exchange: Exchange,
    caller: Caller,
    *,
    endpoint: Endpoint,
    body: bytes,
    longest_s: float,
    run_task: Callable[[Run], Awaitable[None]],
) -> None:
    """Run `run_task`, which answers the exchange, unless another request under the key did. Raises Refused, TaskFailed."""
    scope = scope_of(caller.tenant_id, caller.project_id, endpoint, _key(exchange), body)
    found = await _enter(idempotency, scope, _wait_s(exchange, longest_s), exchange, deliveries)
    if isinstance(found, Answer):
        await _repeat(exchange, found)
    else:
        await _run(idempotency, found, exchange, run_task)


async def _enter(
    idempotency: Idempotency, scope: Scope, wait_s: float, exchange: Exchange, deliveries: Deliveries
) -> Run | Answer:
    """Raises ClientGone when the client does not wait so long."""
    owner = asyncio.current_task()
    assert owner is not None
    deliveries.owners.add(owner)
    entered = asyncio.ensure_future(idempotency.enter(scope, wait_s))
    gone = asyncio.ensure_future(exchange.wait_until_gone())
    try:
        await asyncio.wait({entered, gone}, return_when=asyncio.FIRST_COMPLETED)
        if entered.done():
            return entered.result()
        raise ClientGone
    except asyncio.CancelledError:
        if entered.done() and entered.exception() is None and isinstance(run := entered.result(), Run):
            idempotency.give_up(run)
        await apologise(exchange, None)
        raise
    finally:
        deliveries.owners.discard(owner)
        gone.cancel()
        if not entered.done():
            entered.cancel()


async def _run(
    idempotency: Idempotency, run: Run, exchange: Exchange, run_task: Callable[[Run], Awaitable[None]]
) -> None:
    recording = _Recording(exchange, run)
    try:
        await run_task(run)
    except (Refused, TaskFailed) as refusal:
        await exchange.refuse(refusal)
    finally:
        answer = recording.answer()
        if answer is not None and answer.status < 400:
            idempotency.finish(run, answer)
        else:
            idempotency.give_up(run, answer)


class _Recording:
    """Stands between an exchange and its client."""

    def __init__(self, exchange: Exchange, run: Run) -> None:
        self._exchange = exchange
        self._run = run
        self._status = 0
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_whole = False
        self._send = exchange.put_between(self.send)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = tuple(header for header in message["headers"] if header[0] in REPEATED)
        else:
            body: bytes = message.get("body", b"")
            self._size += len(body)
            if self._size <= ANSWER_BYTES:
                self._pieces.append(body)
            else:
                self._pieces.clear()
            self._is_whole = not message.get("more_body", False)
        await self._send(message)

    def answer(self) -> Answer | None:
        """None for what is not whole."""
        if not self._is_whole or self._exchange.is_broken:
            return None
        body = b"".join(self._pieces) if self._size <= ANSWER_BYTES else None
        return Answer(self._status, self._headers, body, self._run.task, self._exchange.request_id)


async def _repeat(exchange: Exchange, answer: Answer) -> None:
    assert answer.body is not None
    said = (b"idempotent-replayed", b"true"), (b"original-request", answer.request_id.encode())
    headers = SSE if SSE[0] in answer.headers else answer.headers
    await exchange.respond(answer.body, status=answer.status, headers=(*headers, *said))


def _key(exchange: Exchange) -> str:
    key = exchange.headers[HEADER].decode("latin-1")
    if not (0 < len(key) <= MAX_LENGTH and key.isascii() and key.isprintable()):
        raise errors.invalid(
            f"Idempotency-Key takes 1 to {MAX_LENGTH} printable ASCII characters.",
            "Idempotency-Key",
            "invalid_idempotency_key",
        )
    return key


def _wait_s(exchange: Exchange, longest_s: float) -> float:
    """`Prefer: wait=SECONDS` and `Prefer: respond-async`, as RFC 7240 has them."""
    wanted = exchange.header(b"prefer").lower()
    if "respond-async" in wanted:
        return 0
    found = WAIT.search(wanted)
    return min(longest_s, float(found[1])) if found else longest_s
