"""The scripts in force, as one queen process holds them.

The operator's come from the scheduler file while it exists, else from the active version in the database, else from
`default.rhai`. A file that does not compile, or that crashes the process that tries it, leaves the last good one in force:
the one this process had, or the one that was imported last. With neither, every task is refused: nobody knows what the
operator wanted to forbid. The same goes for an active version that cannot be in force and has none before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final
from uuid import UUID

import rhai_py

from gdpr.threads import in_thread
from inference.domain import policies
from inference.domain.errors import Busy, ColonyError, InvalidInput
from inference.domain.scheduler_file import (
    NOT_TAKEN,
    FileMark,
    keep,
    last_good,
    mark_of,
    tell_broken,
    tell_mended,
    vetted_source,
)
from rbee_policy import language
from rbee_policy.asking import ScriptBroke

FILE_LOOK_S: Final = 0.5
DATABASE_LOOK_S: Final = 5.0
DATABASE_PAUSE_S: Final = 0.5  # after a time that it did not answer
OPERATOR: Final = "operator"  # as an owner
DEFAULT_FILE: Final = Path(__file__).resolve().parents[1] / "policies" / "default.rhai"

_log = logging.getLogger(__name__)


class PolicyUnavailable(Exception):
    """There is a script that decides, and it cannot be in force."""


class Policy:
    """A compiled script. `turn` counts its routings, for `workers.round_robin()`. It `needs_…` what the counters say
    when it may look at it."""

    def __init__(self, script: rhai_py.Script, owner: str) -> None:
        self.script = script
        self.owner = owner  # for the log: operator, or a tenant's id
        self.sha256 = script.sha256
        self.admits = language.admits(script)
        self.routes = language.router_of(script) is not None
        self.needs_customer = self.admits or language.reads_quota(script.source)
        self.needs_subject = language.reads_subject(script.source)
        self.turn = count()


OnFailed = Callable[[Policy | None, ScriptBroke | None], None]


class Policies:
    """One per queen process. `watch` keeps it up to date; `reload_soon` is for the notice that something changed.
    `file_error` says why the scheduler file as it stands is not in force."""

    def __init__(self, scheduler_file: Path) -> None:
        self.scheduler_file = scheduler_file
        self._default = _compiled(DEFAULT_FILE.read_text())
        self._file: Policy | None = None
        self.file_error: str | None = None
        self._file_mark: FileMark | None = None
        self._is_by_file = False  # once the file was looked into
        self._active: Policy | None = None
        self._tenants: dict[str, Policy] = {}
        self._unfit: frozenset[str] = frozenset()  # owners whose active version cannot be in force
        self._changed = asyncio.Event()
        self._operator: Policy | None = self._default
        self._fall_back: frozenset[str] = frozenset()  # owners
        self.on_failed: list[OnFailed] = []

    def operator(self) -> Policy:
        """Raises PolicyUnavailable."""
        if self._operator is None:
            raise PolicyUnavailable
        return self._operator

    def of_tenant(self, tenant_id: str) -> Policy | None:
        """`tenant_id` in hex. Raises PolicyUnavailable."""
        if tenant_id in self._unfit:
            raise PolicyUnavailable
        return self._tenants.get(tenant_id)

    def falls_back(self, policy: Policy) -> bool:
        """When its `route_task` breaks, the task goes on as if it had no opinion."""
        return policy.owner in self._fall_back

    def tell_failed(self, policy: Policy | None, broke: ScriptBroke | None) -> None:
        """Of a task that a script broke on; None: the operator's never compiled."""
        for listener in self.on_failed:
            listener(policy, broke)

    def reload_soon(self) -> None:
        self._changed.set()

    async def load(self) -> None:
        """Before the first task."""
        await self._load_active()
        await self._look_at_file()

    async def watch(self) -> None:
        """Runs for ever. A file that takes long to try delays nobody else's policy."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_database())
            group.create_task(self._watch_file())

    async def _watch_database(self) -> None:
        wait_s = DATABASE_LOOK_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
            self._changed.clear()
            wait_s = DATABASE_LOOK_S if await self._load_active() else DATABASE_PAUSE_S

    async def _watch_file(self) -> None:
        while True:
            await asyncio.sleep(FILE_LOOK_S)
            await self._look_at_file()

    async def _load_active(self) -> bool:
        """Keeps what is in force while the database does not answer. Whether it did."""
        try:
            versions = await in_thread(policies.active_policies)()
            fall_back = await in_thread(policies.owners_that_fall_back)()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
            _log.warning("policies could not be read, those in force stay: %s", type(error).__name__)
            return False
        kept = {(each.owner, each.sha256): each for each in (self._active, *self._tenants.values()) if each}
        active: Policy | None = None
        tenants: dict[str, Policy] = {}
        unfit = set[str]()
        for version in versions:
            owner = _owner(version.tenant_id)
            if version.is_disabled:
                unfit.add(owner)
                continue
            try:
                policy = kept.get((owner, version.sha256)) or _compiled(version.source, owner)
            except InvalidInput as error:
                _log.error(
                    "policy version %s of %s does not compile: %s", version.number, owner, error.message
                )
                before = self._active if version.tenant_id is None else self._tenants.get(owner)
                if before is None:
                    unfit.add(owner)
                    continue
                policy = before
            if version.tenant_id is None:
                active = policy
            else:
                tenants[owner] = policy
        self._active, self._tenants, self._unfit = active, tenants, frozenset(unfit)
        self._fall_back = frozenset(_owner(tenant_id) for tenant_id in fall_back)
        self._choose()
        return True

    async def _look_at_file(self) -> None:
        try:
            mark = await asyncio.to_thread(mark_of, self.scheduler_file)
        except OSError as error:
            await self._blame_file(f"{self.scheduler_file} cannot be read: {error.strerror}")
            return
        if mark == self._file_mark:
            return
        before, self._file_mark = self._file_mark, mark
        if mark is None:
            _log.info("%s is gone; the policy in force is from elsewhere", self.scheduler_file)
            self._file, self.file_error, self._is_by_file = None, None, False
            self._choose()
            await tell_mended()
            return
        await self._take_file(is_first=before is None)

    async def _take_file(self, *, is_first: bool) -> None:
        """Nothing of this process touches a source before another has survived it."""
        path = self.scheduler_file
        try:
            source, vetted = await vetted_source(path)
            file = _compiled(source)
            if vetted.refused:
                await keep(source, vetted)
                raise InvalidInput(vetted.refused)
        except (OSError, ValueError) as error:
            await self._blame_file(f"{path} cannot be read: {error}")
        except ColonyError as error:
            if isinstance(error, Busy):
                self._file_mark = NOT_TAKEN
            await self._blame_file(f"{path}: {error.message}")
        else:
            self._file, self._is_by_file = file, True
            self._choose()
            _log.info("the policy in force is %s, sha256 %s", path, file.sha256)
            was_broken, self.file_error = is_first or self.file_error is not None, None
            await keep(source, vetted)
            if was_broken:
                await tell_mended()
            return
        if is_first and self._file is None:
            self._file = await _last_good()
        self._is_by_file = True
        self._choose()

    async def _blame_file(self, error: str) -> None:
        if error == self.file_error:
            return
        _log.error("%s; the last good version stays in force", error)
        self.file_error = error
        await tell_broken(error)

    def _choose(self) -> None:
        if self._is_by_file:
            self._operator = self._file
        elif OPERATOR in self._unfit:
            self._operator = None
        else:
            self._operator = self._active or self._default


def _owner(tenant_id: UUID | None) -> str:
    return tenant_id.hex if tenant_id else OPERATOR


def _compiled(source: str, owner: str = OPERATOR) -> Policy:
    """Raises InvalidInput."""
    return Policy(policies.compile_policy(source), owner)


async def _last_good() -> Policy | None:
    """The newest version of the file that compiles."""
    source = await last_good()
    if source is None:
        return None
    try:
        return _compiled(source)
    except InvalidInput as error:
        _log.error("the last version of the scheduler file does not compile any more: %s", error.message)
        return None
