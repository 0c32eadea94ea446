"""The scripts in force, as one queen process holds them.

The operator's come from the scheduler file while it exists, else from the active version in the database, else from
`default.rhai`. A file that does not compile leaves the last good one in force: the one this process had, or the one
that was imported last. With neither, every task is refused: nobody knows what the operator wanted to forbid.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import rhai_py

from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from gdpr.threads import in_thread
from inference.domain import policies
from inference.domain.errors import InvalidInput
from inference.models import PolicyVersion
from rbee_policy import language
from rbee_policy.asking import ScriptBroke

FILE_LOOK_S: Final = 0.5
DATABASE_LOOK_S: Final = 5.0
MAX_FILE_BYTES: Final = 1 << 20
OPERATOR: Final = "operator"  # as an owner
DEFAULT_FILE: Final = Path(__file__).resolve().parents[1] / "policies" / "default.rhai"

_log = logging.getLogger(__name__)


class PolicyUnavailable(Exception):
    """The operator's script has never compiled."""


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
        self._file_mark: _FileMark | None = None
        self._active: Policy | None = None
        self._tenants: dict[str, Policy] = {}
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
        """`tenant_id` in hex."""
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
        """Runs for ever."""
        looked_at = time.monotonic()
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), FILE_LOOK_S)
            except TimeoutError:
                pass
            if self._changed.is_set() or time.monotonic() - looked_at > DATABASE_LOOK_S:
                self._changed.clear()
                looked_at = time.monotonic()
                await self._load_active()
            await self._look_at_file()

    async def _load_active(self) -> None:
        """Keeps what is in force while the database does not answer."""
        try:
            versions = await in_thread(policies.active_policies)()
            fall_back = await in_thread(policies.owners_that_fall_back)()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
            _log.warning("policies could not be read, those in force stay: %s", type(error).__name__)
            return
        kept = {(each.owner, each.sha256): each for each in (self._active, *self._tenants.values()) if each}
        active: Policy | None = None
        tenants: dict[str, Policy] = {}
        for version in versions:
            owner = _owner(version.tenant_id)
            try:
                policy = kept.get((owner, version.sha256)) or _compiled(version.source, owner)
            except InvalidInput as error:
                _log.error(
                    "policy version %s of %s does not compile: %s", version.number, owner, error.message
                )
                before = self._active if version.tenant_id is None else self._tenants.get(owner)
                if before is None:
                    continue
                policy = before
            if version.tenant_id is None:
                active = policy
            else:
                tenants[owner] = policy
        self._active, self._tenants = active, tenants
        self._fall_back = frozenset(_owner(tenant_id) for tenant_id in fall_back)
        self._choose()

    async def _look_at_file(self) -> None:
        try:
            mark = await asyncio.to_thread(_mark_of, self.scheduler_file)
        except OSError as error:
            self._blame_file(f"{self.scheduler_file} cannot be read: {error.strerror}")
            return
        if mark == self._file_mark:
            return
        before, self._file_mark = self._file_mark, mark
        if mark is None:
            _log.info("%s is gone; the policy in force is from elsewhere", self.scheduler_file)
            self._file, self.file_error = None, None
            self._choose()
            return
        await self._take_file(is_first=before is None)

    async def _take_file(self, *, is_first: bool) -> None:
        try:
            source = await asyncio.to_thread(_read, self.scheduler_file)
            self._file = _compiled(source)
        except (OSError, ValueError) as error:
            self._blame_file(f"{self.scheduler_file} cannot be read: {error}")
        except InvalidInput as error:
            self._blame_file(f"{self.scheduler_file}: {error.message}")
        else:
            self.file_error = None
            self._choose()
            _log.info("the policy in force is %s, sha256 %s", self.scheduler_file, self._file.sha256)
            await _import(source)
            return
        if is_first and self._file is None:
            self._file = await _last_imported()
        self._choose()

    def _blame_file(self, error: str) -> None:
        if error != self.file_error:
            _log.error("%s; the last good version stays in force", error)
        self.file_error = error

    def _choose(self) -> None:
        self._operator = self._file if self._file_mark is not None else self._active or self._default


def _owner(tenant_id: UUID | None) -> str:
    return tenant_id.hex if tenant_id else OPERATOR


class _FileMark(NamedTuple):
    """Differs whenever the file was written or replaced."""

    modified_ns: int
    changed_ns: int
    size: int
    inode: int


def _mark_of(path: Path) -> _FileMark | None:
    """None when there is no such file. Raises OSError when nobody can tell."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _FileMark(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 10} KiB")
    return content.decode()


def _compiled(source: str, owner: str = OPERATOR) -> Policy:
    """Raises InvalidInput."""
    return Policy(policies.compile_policy(source), owner)


async def _import(source: str) -> None:
    """Kept as a version, so that decisions can be traced to it; a database that is away costs only that."""
    try:
        await in_thread(policies.import_file)(source, actor=Actor.system("scheduler-file"))
    except Exception as error:  # noqa: BLE001 - it is in force all the same
        _log.warning("the scheduler file was not kept as a version: %s", type(error).__name__)


async def _last_imported() -> Policy | None:
    """The newest version of the file that compiles."""
    try:
        source = await in_thread(_newest_file_source)()
        return _compiled(source) if source is not None else None
    except Exception as error:  # noqa: BLE001 - then nothing is known to be good
        _log.error("no earlier version of the scheduler file is to be had: %s", type(error).__name__)
        return None


def _newest_file_source() -> str | None:
    with colony_tx("last version of the scheduler file"):
        version = PolicyVersion.objects.filter(tenant=None, origin="file").order_by("-number").first()
        return version.source if version else None
