"""Durable work on requests: who may work on one, for how long, and what becomes of it when they die.

    claim()                 the next one that is due and that nobody holds, by one conditional UPDATE
    Hold.save(…)            renews the lease and keeps where the work is; refused when another one holds it
    Hold.later(…)           gives it back until later: what it waits for is away
    work_requests(until)    what the chore does: claims and works until its time is over

A worker that dies leaves a lease that runs out. Three attempts at the same step without getting anywhere, and the request
is `failed`: it is seen in every list and raises an alert, and `retry_request` lets it go on where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.request_models import OPEN, DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx, tenant_tx

WORK: Final = "gdpr.work_requests"  # the chore
LEASE_S: Final = 30.0
ATTEMPTS_MAX: Final = 3
RETRY_S: Final = 5.0
FAILED_IN: Final = "failed_in"

Worker = Callable[["Hold", float], None]  # on a request that is held, until this time of the monotonic clock

log = logging.getLogger(__name__)
_workers: dict[str, Worker] = {}
on_failed: list[Callable[[DataRequest], None]] = []  # in the transaction in which it failed

_CLAIM = """
    UPDATE gdpr_datarequest SET fence = fence + 1, attempts = attempts + 1, lease_until = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT id FROM gdpr_datarequest
        WHERE state = ANY(%s) AND next_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until <= clock_timestamp())
            AND (%s::uuid IS NULL OR id = %s)
        ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""


class LostHold(Exception):
    """Another worker has taken it over; what this one did since is done again, or was done already."""


class RequestRefused(ValueError):
    """Not in the state that it is in."""


def works_on(kind: RequestKind) -> Callable[[Worker], Worker]:
    def register(worker: Worker) -> Worker:
        _workers[kind] = worker
        return worker

    return register


def scope_of(identity: Identity, why: str) -> AbstractContextManager[None]:
    return tenant_tx(identity.tenant_id) if identity.tenant_id else colony_tx(why)


def make_request(kind: RequestKind, identity: Identity, *, actor: Actor, **fields: Any) -> DataRequest:
    """Inside the scope of the identity. Audited by who calls this."""
    request = DataRequest.objects.create(
        **{
            "id": uuid7(),
            "kind": kind,
            "whose": identity.whose.value,
            "tenant_id": identity.tenant_id,
            "person_id": identity.id,
            "subject": identity.subject,
            "state": RequestState.QUEUED,
            "requested_by": str(actor),
            **fields,
        }
    )
    hint_after_commit(WORK)
    return request


def find_open(kind: RequestKind, identity: Identity) -> DataRequest | None:
    """Inside of a scope."""
    return DataRequest.objects.filter(
        kind=kind,
        whose=identity.whose.value,
        tenant_id=identity.tenant_id,
        person_id=identity.id,
        subject=identity.subject,
        state__in=[*OPEN, RequestState.FAILED],
    ).first()


class Hold:
    """A request that this process works on. Every method that writes raises LostHold."""

    def __init__(self, request: DataRequest) -> None:
        self.request = request
        self._renew_at = time.monotonic() + LEASE_S / 3

    @property
    def progress(self) -> dict[str, Any]:
        progress: dict[str, Any] = self.request.progress
        return progress

    def save(self, **fields: Any) -> None:
        """Something is done: attempts count from here on. Inside of a scope, or in one of its own."""
        self._write(progress=self.request.progress, attempts=0, lease_until=_from_now(LEASE_S), **fields)

    def move(self, state: RequestState, step: str = "", **fields: Any) -> None:
        self.save(state=state, step=step, **fields)

    def renew(self) -> None:
        """To be called often by what takes long; a query at most every third of a lease. Nothing counts as done."""
        if time.monotonic() >= self._renew_at:
            self._write(lease_until=_from_now(LEASE_S))

    def release(self) -> None:
        """Due at once, for whoever comes."""
        self._write(progress=self.request.progress, attempts=0, lease_until=None)

    def later(self, seconds: float, **fields: Any) -> None:
        self._write(
            progress=self.request.progress, attempts=0, lease_until=None, next_at=_from_now(seconds), **fields
        )

    def end(self, state: RequestState, event: str, details: Mapping[str, Any], **fields: Any) -> None:
        with colony_tx("a request is done"):
            self._write(
                progress=self.request.progress, state=state, step="", lease_until=None, attempts=0, error="",
                ended_at=timezone.now(), **fields,
            )  # fmt: skip
            tell(self.request, event, Actor.system("gdpr"), details)

    def fail(self, error: Exception, *, is_last: bool = False) -> None:
        """This attempt. The last one leaves it to people."""
        is_last = is_last or self.request.attempts >= ATTEMPTS_MAX
        if is_last:
            self.progress[FAILED_IN] = self.request.state
        with colony_tx("a request failed"):
            self._write(
                progress=self.progress,
                lease_until=None,
                error=type(error).__name__[:200],
                next_at=_from_now(RETRY_S * 4**self.request.attempts),
                state=RequestState.FAILED if is_last else self.request.state,
            )
            if is_last:
                _tell_failed(self.request)

    def _write(self, **fields: Any) -> None:
        with colony_tx("work on a request"):
            held = DataRequest.objects.filter(id=self.request.id, fence=self.request.fence)
            if not held.update(**fields):
                raise LostHold(str(self.request.id))
        for name, value in fields.items():
            setattr(self.request, name, value)
        self._renew_at = time.monotonic() + LEASE_S / 3


def claim(only: UUID | None = None) -> Hold | None:
    """One that was begun three times and never got anywhere fails here: whoever died of it cannot say so."""
    while True:
        with colony_tx("claim a request"), connection.cursor() as cursor:
            cursor.execute(_CLAIM, [LEASE_S, [state.value for state in OPEN], only, only])
            row = cursor.fetchone()
            if row is None:
                return None
            request = DataRequest.objects.get(id=row[0])
        hold = Hold(request)
        if request.attempts <= ATTEMPTS_MAX:
            return hold
        hold.fail(WorkerDied())


class WorkerDied(Exception):
    """Of a request that ended each process that worked on it."""


def work_requests(seconds: float, *, only: UUID | None = None) -> int:
    """What is due, for about so long. Returns how often one was worked on."""
    until, worked = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        hold = claim(only)
        if hold is None:
            break
        worked += 1
        try:
            _workers[hold.request.kind](hold, until)
        except LostHold:
            log.warning("request %s was taken over by another worker", hold.request.id)
        except Exception as error:
            log.exception("request %s failed at %s", hold.request.id, hold.request.step or hold.request.state)
            hold.fail(error)
    return worked


def is_work_left() -> bool:
    with colony_tx("requests that are due"):
        return DataRequest.objects.filter(
            state__in=OPEN, next_at__lte=timezone.now(), lease_until=None
        ).exists()


def go_on(request_id: UUID) -> None:
    """What it waited for has come."""
    with colony_tx("a request goes on"):
        DataRequest.objects.filter(id=request_id, state__in=OPEN, lease_until=None).update(
            next_at=timezone.now()
        )
        hint_after_commit(WORK)


def retry_request(request: DataRequest, *, actor: Actor) -> DataRequest:
    """Goes on where it failed. Raises RequestRefused."""
    with colony_tx("a request is tried again"):
        request = DataRequest.objects.select_for_update().get(id=request.id)
        if request.state != RequestState.FAILED:
            raise RequestRefused(f"This request is {request.state}; only one that failed is tried again.")
        request.state = RequestState(request.progress.pop(FAILED_IN))
        request.attempts, request.next_at = 0, timezone.now()
        request.save(update_fields=["state", "attempts", "next_at", "progress"])
        tell(request, f"{request.kind}.retried", actor)
        hint_after_commit(WORK)
    return request


def tell(
    request: DataRequest,
    event: str,
    actor: Actor,
    details: Mapping[str, Any] | None = None,
    outcome: str = "ok",
) -> None:
    """The audit entry of what happened to it, in the transaction in which it did."""
    record(
        f"gdpr.{event}",
        actor=actor,
        tenant_id=request.tenant_id,
        object_ref=f"request:{request.id.hex}",
        outcome=outcome,
        details={"whose": whose_text(request.identity), **(details or {})},
    )


def whose_text(identity: Identity) -> str:
    if identity.whose is Whose.PERSON and identity.id:
        return f"user:{identity.id.hex}"
    if identity.whose is Whose.SUBJECT:
        return f"subject:{identity.subject}"
    return f"tenant:{identity.tenant_id.hex}" if identity.tenant_id else ""


def _tell_failed(request: DataRequest) -> None:
    tell(
        request,
        f"{request.kind}.failed",
        Actor.system("gdpr"),
        {"step": request.step, "error": request.error},
        outcome="failed",
    )
    for hear in on_failed:
        hear(request)


def _from_now(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
