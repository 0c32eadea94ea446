"""A script in force broke: its owner hears of it by an alert and a webhook, and the audit log has it. At most once a minute
for each version, with how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from inference.domain.per_minute import PerMinute
from inference.domain.policy_source import OPERATOR, Policy
from inference.models import PolicyVersion
from rbee_policy.asking import ScriptBroke
from tenants.domain.alerts import raise_alert
from tenants.domain.outbox import publish

GATHER_S: Final = 0.1
RETRY_S: Final = 1.0
CODE: Final = "policy_error"
NEVER_COMPILED: Final = (
    "No version of the scheduler file ever compiled, so nobody knows what it forbids: every task is refused."
)

_QUEEN: Final = Actor.system("queen")
_log = logging.getLogger(__name__)


class _Kind(NamedTuple):
    owner: str
    sha256: str  # empty: no version ever compiled


class Failure(NamedTuple):
    """`message` names line and column, and nothing that the script was given."""

    owner: str
    sha256: str
    message: str
    details: dict[str, str | int]
    times: int


Write = Callable[[Sequence[Failure]], Awaitable[None]]


class PolicyFailures:
    """One per queen process."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._sums: PerMinute[_Kind] = PerMinute()
        self._last: dict[_Kind, ScriptBroke | None] = {}
        self._waiting: list[Failure] = []
        self._writing = asyncio.Lock()

    def note(self, policy: Policy | None, broke: ScriptBroke | None) -> None:
        """Never waits."""
        kind = _Kind(policy.owner, policy.sha256) if policy else _Kind(OPERATOR, "")
        self._last[kind] = broke
        if self._sums.is_first(kind):
            self._waiting.append(_failure(kind, broke, 1))

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(GATHER_S)
            # One that is under way is not broken off when this is: `stop` waits for it.
            if not await asyncio.shield(asyncio.ensure_future(self.write())):
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        await self.write(everything=True)

    async def write(self, *, everything: bool = False) -> bool:
        """False: it could not be written, and waits."""
        async with self._writing:
            for kind, count in self._sums.over(everything=everything):
                self._waiting.append(_failure(kind, self._last.pop(kind, None), count))
            if batch := list(self._waiting):
                try:
                    await self._write(batch)
                except Exception as error:  # noqa: BLE001 -- whatever keeps the database from it
                    _log.warning("failures of policies are not told yet: %s", type(error).__name__)
                    return False
                del self._waiting[: len(batch)]
            return True


def tell_failures(failures: Sequence[Failure]) -> None:
    with colony_tx("policies that failed"):
        for failure in failures:
            _tell(failure)


def _tell(failure: Failure) -> None:
    tenant_id = None if failure.owner == OPERATOR else UUID(failure.owner)
    version = PolicyVersion.objects.filter(tenant=tenant_id, sha256=failure.sha256).order_by("number").last()
    reference = f"policy_version:{version.id}" if version else f"policy:{failure.sha256[:12] or OPERATOR}"
    record(
        "policy.failed",
        actor=_QUEEN,
        tenant_id=tenant_id,
        object_ref=reference,
        outcome="failed",
        details={**failure.details, "code": CODE, "sha256": failure.sha256, "count": failure.times},
    )
    opened = raise_alert(
        tenant_id=tenant_id,
        kind=CODE,
        object_ref=reference,
        message=f"Version {version.number}: {failure.message}" if version else failure.message,
        count=failure.times,
    )
    if opened and version:
        told = {"policy_version": str(version.id), "number": version.number, "code": CODE}
        publish("policy.failed", tenant_id, told)


def _failure(kind: _Kind, broke: ScriptBroke | None, count: int) -> Failure:
    details: dict[str, str | int] = {}
    if broke is not None:
        details = {"function": broke.function, "line": broke.line or 0, "column": broke.column or 0}
    return Failure(kind.owner, kind.sha256, str(broke) if broke else NEVER_COMPILED, details, count)
