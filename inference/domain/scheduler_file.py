"""The operator's scheduler file: whether it changed, what it holds, and whether that may be in force.

Nothing of this process compiles a source before another process has survived it. The database may be away: the file is
looked at all the same, only nothing is kept of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from gdpr.threads import in_thread
from inference.domain.errors import InvalidInput
from inference.domain.policies import import_file, last_of_file
from inference.domain.vetting import Vetted, vet
from tenants.domain.alerts import close_alert, raise_alert
from tenants.models import Alert

MAX_FILE_BYTES: Final = 1 << 20
_ALERT: Final = "policy_file"
_ACTOR: Final = Actor.system("scheduler-file")

T = TypeVar("T")

_log = logging.getLogger(__name__)


class FileMark(NamedTuple):
    """Differs whenever the file was written or replaced."""

    modified_ns: int
    changed_ns: int
    size: int
    inode: int


NOT_TAKEN: Final = FileMark(0, 0, -1, 0)  # of a file that is there, and is taken at the next look


def mark_of(path: Path) -> FileMark | None:
    """None when there is no such file. Raises OSError when nobody can tell."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileMark(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def read_file(path: Path) -> str:
    """Raises OSError, and ValueError for what is no text or too large."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 10} KiB")
    return content.decode()


async def vetted_source(path: Path) -> tuple[str, Vetted]:
    """What the file holds, which another process has survived. One that was tried before is not tried again. Raises
    OSError, ValueError, InvalidInput when it crashed, and Busy."""
    source = await asyncio.to_thread(read_file, path)
    known = await last_good()
    if known == source:
        return source, Vetted()
    vetted = await asyncio.to_thread(vet, source)
    if vetted.crash:
        await keep(source, vetted)
        raise InvalidInput(vetted.crash, code="policy_crashed")
    return source, vetted


async def keep(source: str, vetted: Vetted) -> None:
    """As a version, so that decisions can be traced to it."""
    await _if_database_answers(
        "was not kept as a version", in_thread(import_file)(source, vetted, actor=_ACTOR)
    )


async def last_good() -> str | None:
    version = await _if_database_answers("cannot be compared with the last one", in_thread(last_of_file)())
    return version.source if version else None


async def tell_broken(problem: str) -> None:
    await _if_database_answers("is wrong, and no alert tells of it", in_thread(_open_alert)(problem))


async def tell_mended() -> None:
    await _if_database_answers("is right, and its alert stays open", in_thread(_close_alert)())


def _open_alert(problem: str) -> None:
    with colony_tx("the scheduler file is broken"):
        message = f"{problem}; the last good version stays in force."
        raise_alert(tenant_id=None, kind=_ALERT, object_ref=_ALERT, message=message)


def _close_alert() -> None:
    with colony_tx("the scheduler file is right"):
        for alert in Alert.objects.filter(tenant=None, kind=_ALERT, object_ref=_ALERT, closed_at=None):
            close_alert(alert, actor=_ACTOR)


async def _if_database_answers(otherwise: str, answer: Awaitable[T]) -> T | None:
    try:
        return await answer
    except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
        _log.warning("the scheduler file %s: %s", otherwise, type(error).__name__)
        return None
