"""Gives each committed audit entry its place in the log, one process at a time.

The leader holds an advisory lock of PostgreSQL on a connection of its own, and an epoch: every transaction of its names
the epoch, so one that was overtaken while it slept changes nothing. Rows are numbered first, in a transaction that also
moves the count of them, so no place is given twice; then come tiles, then the checkpoint. Whatever dies in between, the
next leader takes the rows that are numbered and not published yet, and goes on. A row that commits late is simply later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import Connection

from gdpr.log.checkpoint import open_checkpoint
from gdpr.log.copies import Copier
from gdpr.log.note import Signer
from gdpr.log.rows import Row, numbered_rows, waiting_rows
from gdpr.log.store import CHECKPOINT, WITNESSED, FolderStore, Store, StoreBusy
from gdpr.log.witness import Witness, Witnessing
from gdpr.log.writer import LogBroken, LogWriter, known_keys

LOCK: Final = 0x7262_6565_0010
ROLE: Final = "rbee_sequencer"
BATCH: Final = 4096
LOOK_EVERY_S: Final = 0.5
PUBLISH_EVERY_S: Final = 1.0  # while there is something to publish
CONNECT_TIMEOUT_S: Final = 5
# A leader whose machine is gone is noticed by the server within half a minute.
KEEPALIVE: Final[dict[str, Any]] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}

logger = logging.getLogger(__name__)


class Overtaken(Exception):
    """Another process is the leader by now."""


class DatabaseBehind(Exception):
    """The database knows of fewer entries than were published: it is an older state of itself, and numbering on would
    give places a second time."""


class Sequencer:
    """`step` does what there is to do at this moment. Raises psycopg.Error, OSError and Overtaken: begin anew. Raises
    DatabaseBehind, and LogBroken and StoreConflict of the store: somebody has to look."""

    def __init__(self, connection: Connection[Any], store: FolderStore, signer: Signer) -> None:
        """`connection` is the leader's: `lead`."""
        self.connection = connection
        self.skipped: list[UUID] = []
        self.epoch, self.numbered = _begin_epoch(connection)
        self.writer = LogWriter(store, signer)
        if self.numbered < self.writer.size:
            raise DatabaseBehind(
                f"{self.writer.size} entries are published and the database has numbered {self.numbered}:"
                " it is an older state than the log"
            )
        self._published_at = 0.0
        self._kept_on = ""

    def step(self) -> int:
        """Returns how many entries it moved."""
        moved = self.resume() + self.number()
        if self.has_unpublished and time.monotonic() - self._published_at >= PUBLISH_EVERY_S:
            self.publish()
        return moved

    @property
    def has_unpublished(self) -> bool:
        return self.writer.size != self.writer.published.size

    def resume(self) -> int:
        """Entries that are numbered and in no tile: left by whoever died before."""
        moved = 0
        while self.writer.size < self.numbered:
            begin, end = self.writer.size, min(self.writer.size + BATCH, self.numbered)
            rows = numbered_rows(self.connection, begin, end)
            if [row.seq for row in rows] != list(range(begin, end)):
                raise DatabaseBehind(
                    f"rows of the entries {begin} to {end - 1} are missing from the database"
                )
            try:
                entries = [row.entry() for row in rows]
            except ValueError as error:
                raise LogBroken(f"an entry of {begin} to {end - 1} was changed: {error}") from None
            self.writer.add(entries)
            moved += len(rows)
        return moved

    def number(self) -> int:
        taken = self._take()
        if not taken:
            return 0
        first, end = self.numbered, self.numbered + len(taken)
        with self.connection.transaction():
            self._fence(first, end)
            changed = self.connection.execute(
                "UPDATE gdpr_auditentry e SET seq = given.seq"
                " FROM unnest(%s::date[], %s::uuid[], %s::bigint[]) AS given (month, id, seq)"
                " WHERE e.month = given.month AND e.id = given.id AND e.seq IS NULL",
                [[row.month for row, _ in taken], [row.id for row, _ in taken], list(range(first, end))],
            ).rowcount
            if changed != len(taken):
                raise Overtaken
        self.numbered = end
        self.writer.add(entry for _, entry in taken)
        return len(taken)

    def _take(self) -> list[tuple[Row, bytes]]:
        """Rows without a place, and their bytes. One that none of our writers made has none; `verify` reports it, and the
        others go on."""
        taken = []
        for row in waiting_rows(self.connection, BATCH, self.skipped):
            try:
                taken.append((row, row.entry()))
            except ValueError:
                logger.error("the row %s is no audit entry and gets no place in the log", row.id)
                self.skipped.append(row.id)
        return taken

    def publish(self) -> None:
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        with self.connection.transaction():  # held until it is published, so that nobody overtakes meanwhile
            self._fence(self.numbered, self.numbered)
            self.writer.publish(keep=today != self._kept_on)
        self._kept_on = today
        self._published_at = time.monotonic()

    def keep_witnessed(self, note: str) -> None:
        """A checkpoint of ours that a witness signed too. It is the published one, if the log has not grown since."""
        store = self.writer.store
        with self.connection.transaction():
            self._fence(self.numbered, self.numbered)
            store.replace(WITNESSED, note.encode())
            if open_checkpoint(note, known_keys(store)) == self.writer.published:
                store.replace(CHECKPOINT, note.encode())

    def _fence(self, before: int, after: int) -> None:
        done = self.connection.execute(
            "UPDATE gdpr_auditsequence SET size = %s WHERE id = 1 AND epoch = %s AND size = %s",
            [after, self.epoch, before],
        )
        if done.rowcount != 1:
            raise Overtaken


def lead(database_url: str) -> Connection[Any] | None:
    """A connection that holds the lock; None while another process does. Raises psycopg.Error."""
    connection = psycopg.connect(
        database_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="rbee-sequencer",
        options="-c statement_timeout=60000", **KEEPALIVE,
    )  # fmt: skip
    try:
        connection.execute(f"SET ROLE {ROLE}")
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if row and row[0]:
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def run(
    database_url: str,
    store: FolderStore,
    signer: Signer,
    *,
    copy: Store | None,
    witness: Witness | None = None,
    is_over: Callable[[], bool],
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Until `is_over`. Raises what somebody has to look at."""
    while not is_over():
        try:
            connection = lead(database_url)
            if connection is not None:
                with (
                    connection, store.alone(), Copier(store, copy), Witnessing(store, witness) as witnessing,
                ):  # fmt: skip
                    _lead_on(Sequencer(connection, store, signer), witnessing, is_over, sleep)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError, Overtaken, StoreBusy) as error:
            logger.warning("the audit log waits: %s", _said(error))
        if not is_over():
            sleep(1.0)


def _lead_on(
    sequencer: Sequencer,
    witnessing: Witnessing,
    is_over: Callable[[], bool],
    sleep: Callable[[float], object],
) -> None:
    logger.info("numbering audit entries from %d on, epoch %d", sequencer.numbered, sequencer.epoch)
    while not is_over():
        moved = sequencer.step()
        if (note := witnessing.take()) is not None:
            sequencer.keep_witnessed(note)
        if moved < BATCH:
            sleep(LOOK_EVERY_S)
    if sequencer.has_unpublished:
        sequencer.publish()


def _begin_epoch(connection: Connection[Any]) -> tuple[int, int]:
    """This leader's epoch, and how many entries are numbered."""
    with connection.transaction():
        connection.execute(
            "INSERT INTO gdpr_auditsequence (id, epoch, size)"
            " SELECT 1, 0, coalesce(max(seq) + 1, 0) FROM gdpr_auditentry ON CONFLICT (id) DO NOTHING"
        )
        row = connection.execute(
            "UPDATE gdpr_auditsequence SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch, size"
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _said(error: Exception) -> str:
    """Of a database's error only the first line: what follows may quote rows."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
