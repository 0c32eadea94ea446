"""One task for one Idempotency-Key: the first request under a key runs, the others get its answer.

    free ──► running ──► done (24 h; the answer itself 15 min, while there is room)
      ▲         │
      └─────────┘ refused, failed, or its queen is gone and the lease ran out

The record is in Redis, where all queen processes find it. The answer lies there sealed by a key that is made of the colony's
secret and of the Idempotency-Key itself, of which only a hash is kept: who asks again opens it, and who reads Redis does not. Who waits in the process that runs the task is told by a
future; another process looks at the record, one look for all that wait there.

What a refusal leaves is nothing: as no task began, or none that is paid, a retry may run.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gdpr.secrets import lasting
from inference.domain.failures import redis_unreachable
from inference.domain.refusals import Refused
from inference.transport import scripts
from inference.transport.resp import RedisDown, RedisError, RedisPipe

KEEP_MS: Final = 24 * 3_600_000
ANSWER_MS: Final = 15 * 60_000
LEASE_MS: Final = 30_000
RENEW_INTERVAL_S: Final = 10.0
ANSWER_BYTES: Final = 1 << 20
TENANT_BYTES: Final = 32 << 20  # of all answers of a tenant that are kept
ALL_BYTES: Final = 512 << 20
FIRST_LOOK_S: Final = 0.02  # at a record of another process, doubled up to
LAST_LOOK_S: Final = 0.25
RETRY_AFTER_S: Final = 1
SECRET_LABEL: Final = "idempotency"  # noqa: S105 -- a label
NONCE_BYTES: Final = 12

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """`headers` are those that say what the body is; `body` None: it is no longer kept."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    task: str
    request_id: str  # of the request that ran


class Scope(NamedTuple):
    """What an Idempotency-Key is told apart by, and what was asked under it."""

    tenant_id: str
    key: str  # hash
    fingerprint: str
    secret: bytes  # what seals the answer

    @property
    def record(self) -> str:
        return f"rbee:idem:{self.tenant_id}:{self.key}"

    @property
    def answer(self) -> str:
        return f"{self.record}:answer"


def scope_of(tenant_id: str, project_id: str, endpoint: str, header: str, body: bytes) -> Scope:
    named = f"{tenant_id}\0{project_id}\0{endpoint}\0{header}"
    secret = hmac.digest(lasting(SECRET_LABEL), named.encode(), "sha256")
    asked = hmac.digest(secret, endpoint.encode() + b"\0" + body, "sha256")
    return Scope(tenant_id, hashlib.sha256(named.encode()).hexdigest(), asked.hex(), secret)


class KeyReused(Refused):
    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another request. Send the same body, or take another key.",
            status=422,
            type="invalid_request_error",
            code="idempotency_key_reuse",
            param="Idempotency-Key",
        )


class StillRunning(Refused):
    def __init__(self) -> None:
        super().__init__(
            "The first request with this Idempotency-Key still runs; ask again for its answer.",
            status=409,
            type="conflict_error",
            code="idempotency_key_in_use",
            headers={"retry-after": str(RETRY_AFTER_S)},
        )


class AnswerGone(Refused):
    def __init__(self, task: str) -> None:
        super().__init__(
            f"The task {task} of this Idempotency-Key has run, and its answer is no longer kept. Take another key to run"
            " it again.",
            status=409,
            type="conflict_error",
            code="idempotency_answer_gone",
            headers={"x-should-retry": "false"},
        )


class Run:
    """A key in this process: one that a request of ours has, or one whose record is watched. `over` has the answer, or
    None when there is none and another may begin."""

    __slots__ = ("is_ours", "over", "scope", "task", "token")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.token = secrets.token_hex(8)
        self.task = ""
        self.is_ours = False
        self.over: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()


class Idempotency:
    """One per queen process."""

    def __init__(self, pipe: RedisPipe) -> None:
        self._pipe = pipe
        self._runs: dict[str, Run] = {}  # by record
        self._renewer: asyncio.Task[None] | None = None
        self._watchers: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._renewer = asyncio.create_task(self._renew(), name="renew idempotency keys")

    async def stop(self) -> None:
        tasks = [*self._watchers, *([self._renewer] if self._renewer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def enter(self, scope: Scope, wait_s: float) -> Run | Answer:
        """A Run is the caller's: it must end in `finish` or `give_up`. Raises KeyReused, StillRunning after `wait_s`,
        AnswerGone, and TaskFailed while Redis is away."""
        until = time.monotonic() + wait_s
        while True:
            run = self._runs.get(scope.record)
            if run is None:
                run = self._runs[scope.record] = Run(scope)
                if await self._begins(run):
                    return run
            elif run.scope.fingerprint != scope.fingerprint:
                raise KeyReused
            answer = await _within(run.over, until)
            if answer is not None:
                if answer.body is None:
                    raise AnswerGone(answer.task)
                return answer

    def finish(self, run: Run, answer: Answer) -> None:
        """Never waits."""
        body = answer.body
        is_kept = body is not None and len(body) <= ANSWER_BYTES
        span, bounds = (
            int(time.time() * 1000) // ANSWER_MS,
            (f"rbee:idem:{run.scope.tenant_id}:bytes", "rbee:idem:bytes"),
        )
        spans = [f"{bound}:{number}" for bound in bounds for number in (span, span - 1)]
        content_type = dict(answer.headers).get(b"content-type", b"")
        self._pipe.send_run(
            scripts.IDEMPOTENCY_FINISH,
            [run.scope.record, run.scope.answer, *spans],
            [
                run.token,
                run.scope.fingerprint,
                answer.task,
                answer.request_id,
                content_type,
                KEEP_MS,
                ANSWER_MS if is_kept else 0,
                _sealed(run.scope, body) if is_kept and body is not None else b"",
                TENANT_BYTES,
                ALL_BYTES,
            ],
        )
        self._close(run, answer)

    def give_up(self, run: Run, answer: Answer | None = None) -> None:
        """The key is free again. Who waits in this process gets `answer`, the refusal, or runs in its place when there
        is none. Never waits."""
        self._pipe.send_run(scripts.IDEMPOTENCY_HOLD, [run.scope.record], [run.token, "", 0])
        self._close(run, answer)

    async def _begins(self, run: Run) -> bool:
        """False: another process has it, or had it; `over` tells. Raises KeyReused and TaskFailed."""
        try:
            reply = await self._look(run.scope, run.token)
        except BaseException:
            self._pipe.send_run(scripts.IDEMPOTENCY_HOLD, [run.scope.record], [run.token, "", 0])
            self._close(run, None)
            raise
        if reply[0] == b"begun":
            run.is_ours = True
            return True
        if reply[0] == b"reused":
            self._close(run, None)
            raise KeyReused
        if reply[0] == b"done":
            self._close(run, _kept(run.scope, reply))
        else:
            watcher = asyncio.create_task(self._watch(run), name="watch an idempotency key")
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watchers.discard)
        return False

    async def _look(self, scope: Scope, token: str = "") -> Sequence[bytes]:
        try:
            reply: Sequence[bytes] = await self._pipe.run(
                scripts.IDEMPOTENCY_BEGIN, [scope.record, scope.answer], [scope.fingerprint, token, LEASE_MS]
            )
        except (RedisDown, RedisError):
            raise redis_unreachable() from None
        return reply

    async def _watch(self, run: Run) -> None:
        """Until the process that runs it is done with it, or gone."""
        pause_s, answer = FIRST_LOOK_S, None
        try:
            while True:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_LOOK_S)
                reply = await self._look(run.scope)
                if reply[0] == b"done":
                    answer = _kept(run.scope, reply)
                if reply[0] != b"running":
                    return
        except Exception as error:  # noqa: BLE001 -- who waits looks for themselves, and is told
            _log.debug("an idempotency key cannot be watched: %s", error)
        finally:
            self._close(run, answer)

    def _close(self, run: Run, answer: Answer | None) -> None:
        if self._runs.get(run.scope.record) is run:
            del self._runs[run.scope.record]
        if not run.over.done():
            run.over.set_result(answer)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            for run in self._runs.values():
                if run.is_ours:
                    self._pipe.send_run(
                        scripts.IDEMPOTENCY_HOLD, [run.scope.record], [run.token, run.task, LEASE_MS]
                    )


def _sealed(scope: Scope, body: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(scope.secret).encrypt(nonce, body, scope.answer.encode())


def _opened(scope: Scope, sealed: bytes) -> bytes | None:
    """None: the colony's secret is another one since, and so nobody has the answer."""
    try:
        return AESGCM(scope.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], scope.answer.encode())
    except (InvalidTag, ValueError):
        return None


def _kept(scope: Scope, reply: Sequence[bytes]) -> Answer:
    _, task, request_id, content_type, *sealed = reply
    body = _opened(scope, sealed[0]) if sealed and sealed[0] else None
    return Answer(200, ((b"content-type", content_type),), body, task.decode(), request_id.decode())


async def _within(over: asyncio.Future[Answer | None], until: float) -> Answer | None:
    """Raises StillRunning."""
    left_s = until - time.monotonic()
    if not over.done() and left_s <= 0:
        raise StillRunning
    try:
        return await asyncio.wait_for(asyncio.shield(over), left_s if not over.done() else None)
    except TimeoutError:
        raise StillRunning from None
