"""Refusals on their way into the audit log, in batches of GATHER_S. The hot path hands over and goes on.

Each refused task has an entry. Refused keys are summed by the minute and by where they come from, so that guessing fills no
disk; the address is kept as a pseudonym. So are refused requests of the management API, by who asks and for what; its views
run on other threads and hand over by HANDED. While PostgreSQL is away refusals wait, and when more than WAIT_MAX do, further ones
are summed as well: none is lost, but for those of the last GATHER_S of a queen that is killed.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from gdpr.domain.audit import Actor, make_entry, record_all
from gdpr.scope import colony_tx
from gdpr.secrets import derive
from inference.domain.failures import TaskFailed
from inference.domain.per_minute import PerMinute
from inference.domain.refusals import NoWorkers, PolicyFailed, Refused, Rejected
from tenants.domain.authentication import Caller

GATHER_S: Final = 0.1
BATCH_MAX: Final = 500
WAIT_MAX: Final = 10_000
RETRY_S: Final = 1.0
SOURCE_LABEL: Final = "refused-source"
SOURCE_BYTES: Final = 16
OTHERS: Final = "others"  # sources beyond those that are told apart

_log = logging.getLogger(__name__)


class Refusal(NamedTuple):
    event: str
    tenant_id: str  # in hex; empty: nobody knows whose
    actor: str
    code: str
    status: int
    request_id: str = ""
    task_id: str = ""
    at: datetime | None = None
    times: int = 1
    asked: str = ""  # method and route of the management API


# Of this process. A queen takes them every GATHER_S; a process that is none keeps the newest, and writes none.
HANDED: Final[deque[Refusal]] = deque(maxlen=WAIT_MAX)


Write = Callable[[Sequence[Refusal]], Awaitable[None]]


class RefusalLog:
    """One per queen process."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[Refusal] = []
        self._sums: PerMinute[Refusal] = PerMinute()
        self._writing = asyncio.Lock()

    def note(
        self,
        refusal: Refused | TaskFailed,
        caller: Caller | None,
        *,
        source: str,
        request_id: str,
        task_id: str,
    ) -> None:
        """Never waits."""
        if not is_refusal(refusal):
            return
        if caller is None:
            self._note_unknown(refusal, source, request_id)
            return
        actor = Actor.keyless() if caller.is_keyless else Actor.key(caller.kid)
        kind = Refusal("task.refused", caller.tenant_id, str(actor), refusal.code, refusal.status)
        if len(self._waiting) >= WAIT_MAX:
            self._sums.add(kind)
        else:
            self._tell(kind, request_id, task_id)

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(GATHER_S)
            # One that is under way is not broken off when this is: `stop` waits for it.
            if not await asyncio.shield(asyncio.ensure_future(self.write())):
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        self._take_handed()
        self._take_sums(everything=True)
        while self._waiting and await self.write():
            pass
        if self._waiting:
            _log.error("%d refusals are not in the audit log", sum(each.times for each in self._waiting))

    async def write(self) -> bool:
        """A batch. False: it could not be written, and waits."""
        async with self._writing:
            self._take_handed()
            self._take_sums()
            while batch := self._waiting[:BATCH_MAX]:
                try:
                    await self._write(batch)
                except Exception as error:  # noqa: BLE001 -- whatever keeps the database from it
                    _log.warning("refusals are not written yet: %s", type(error).__name__)
                    return False
                del self._waiting[: len(batch)]
            return True

    def _note_unknown(self, refusal: Refused | TaskFailed, source: str, request_id: str) -> None:
        source = OTHERS if self._sums.is_full else source_pseudonym(source)
        kind = Refusal("auth.refused", "", str(Actor("source", source)), refusal.code, refusal.status)
        if self._sums.is_first(kind):
            self._tell(kind, request_id)

    def _take_handed(self) -> None:
        while HANDED:
            refusal = HANDED.popleft()
            kind = refusal._replace(request_id="")
            if not kind.tenant_id and self._sums.is_full:
                kind = kind._replace(actor=str(Actor("source", OTHERS)))
            if self._sums.is_first(kind):
                self._tell(kind, refusal.request_id)

    def _tell(self, kind: Refusal, request_id: str, task_id: str = "") -> None:
        self._waiting.append(kind._replace(request_id=request_id, task_id=task_id, at=datetime.now(UTC)))

    def _take_sums(self, *, everything: bool = False) -> None:
        now = datetime.now(UTC)
        for kind, count in self._sums.over(everything=everything):
            self._waiting.append(kind._replace(at=now, times=count))


def is_refusal(refusal: Refused | TaskFailed) -> bool:
    """Somebody was not let: what is wrong with a request, or broken here, is none."""
    if isinstance(refusal, Rejected | NoWorkers | PolicyFailed):
        return True
    return refusal.status in {401, 403, 429} or refusal.code == "no_workers"


def source_pseudonym(address: str) -> str:
    """The same for the same address, and nothing that leads back to it."""
    return hmac.digest(derive(SOURCE_LABEL), address.encode(), "sha256")[:SOURCE_BYTES].hex()


def write_refusals(refusals: Sequence[Refusal]) -> None:
    with colony_tx("refusals"):
        record_all(
            make_entry(
                each.event,
                actor=each.actor,
                tenant_id=UUID(each.tenant_id) if each.tenant_id else None,
                object_ref=f"task:{each.task_id}" if each.task_id else "",
                outcome="refused",
                details={"code": each.code, "status": each.status, "count": each.times}
                | ({"asked": each.asked} if each.asked else {}),
                request_id=each.request_id,
                at=each.at,
            )
            for each in refusals
        )
