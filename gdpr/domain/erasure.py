"""Erasing somebody (Art. 17): requested → grace → frozen → erasing, place by place → verifying → erased, with a certificate.

Each step may be begun again by another worker: what was deleted is not there to be deleted twice, and the ledger takes a
request once. Nothing is deleted before the ledger has it on the disk.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from gdpr.domain import needles, signing
from gdpr.domain.audit import Actor, canonical_json
from gdpr.domain.certificates import certificate_of
from gdpr.domain.erasure_ledger import write_line
from gdpr.domain.frozen import shut_out_writers
from gdpr.domain.holders import Away, Erased, holders, lifecycle_of
from gdpr.domain.requests import (
    ATTEMPTS_MAX,
    Hold,
    RequestRefused,
    find_open,
    make_request,
    scope_of,
    tell,
    works_on,
)
from gdpr.holding import Identity
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx

AWAY_S: Final = 60.0  # until what was away is asked again

S = RequestState


class StillThere(Exception):
    """The scan found something of theirs outside of what is kept."""


def begin_erasure(identity: Identity, *, grace: timedelta, actor: Actor) -> DataRequest:
    """One that runs already is the answer; it keeps its own time of grace. Whoever is erased is refused by the caller of
    this, in the same transaction."""
    with scope_of(identity, "an erasure begins"):
        if (running := find_open(RequestKind.ERASURE, identity)) is not None:
            return running
        until = timezone.now() + grace
        request = make_request(
            RequestKind.ERASURE, identity, actor=actor, state=S.GRACE, grace_until=until, next_at=until
        )
        tell(request, "erasure.requested", actor, {"grace_s": int(grace.total_seconds())})
    return request


def cancel_erasure(identity: Identity, *, actor: Actor) -> DataRequest | None:
    """None: there is none. Raises RequestRefused once its time of grace is over."""
    with scope_of(identity, "an erasure is cancelled"):
        request = find_open(RequestKind.ERASURE, identity)
        if request is None:
            return None
        request = DataRequest.objects.select_for_update().get(id=request.id)
        if request.state != S.GRACE:
            raise RequestRefused("Its time of grace is over: the erasure has begun and cannot be taken back.")
        request.state, request.ended_at = S.CANCELLED, timezone.now()
        request.lease_until = None
        request.fence += 1  # of a worker that just took it
        request.save(update_fields=["state", "ended_at", "lease_until", "fence"])
        tell(request, "erasure.cancelled", actor)
    return request


@works_on(RequestKind.ERASURE)
def work(hold: Hold, until: float) -> None:
    while True:
        state = RequestState(hold.request.state)
        if state in _STEPS and not _STEPS[state](hold):
            return
        if hold.request.state not in _STEPS:
            return
        if time.monotonic() >= until:
            hold.release()
            return


def _freeze(hold: Hold) -> bool:
    """Art. 18: from here on nothing of theirs is processed, and nothing can be taken back."""
    identity = hold.request.identity
    with colony_tx("an erasure freezes"):
        if identity.tenant_id is not None:
            shut_out_writers(identity.tenant_id)
        hold.move(S.FROZEN, "freeze")
        if lifecycle := lifecycle_of(identity.whose):
            lifecycle.freeze(identity)
        tell(hold.request, "erasure.frozen", Actor.system("gdpr"))
    return True


def _gather(hold: Hold) -> bool:
    identity = hold.request.identity
    found = needles.gather(identity)
    hold.save(needles_sealed=needles.sealed(found))
    write_line(hold.request)
    hold.move(S.ERASING, holders()[0].name if holders() else "")
    return True


def _erase(hold: Hold) -> bool:
    identity = _identity(hold)
    done, waiting = hold.progress.setdefault("done", {}), {}
    for holder in holders():
        if holder.name in done:
            continue
        hold.save(step=holder.name)
        try:
            erased = holder.erase(identity, hold)
        except Away as away:
            waiting[holder.name] = away.names
            continue
        done[holder.name] = _noted(erased)
        hold.save()
    hold.progress["waiting"] = waiting
    if waiting:
        hold.later(AWAY_S)
        return False
    if lifecycle := lifecycle_of(identity.whose):
        with colony_tx("an erasure closes"):
            lifecycle.close(identity)
    hold.move(S.VERIFYING, "scan")
    return True


def _verify(hold: Hold) -> bool:
    identity, values = _identity(hold), needles.opened(bytes(hold.request.needles_sealed))
    remains: list[str] = []
    for holder in holders():
        hold.renew()
        remains += [f"{holder.name}: {place}" for place in holder.remains(identity, values.texts)]
    if remains:
        return _again(hold, remains)
    certificate = signing.sign_document(certificate_of(hold.request, [each.name for each in holders()]))
    digest = _sha256(certificate["document"])
    hold.end(
        S.ERASED, "erasure.completed", {"certificate_sha256": digest},
        result={"certificate": certificate}, needles_sealed=b"",
    )  # fmt: skip
    return False


def _again(hold: Hold, remains: Sequence[str]) -> bool:
    """From the first place on; a few times, since a task that was running may have written behind our back."""
    rounds = hold.progress["rounds"] = hold.progress.get("rounds", 0) + 1
    hold.progress["remains"] = list(remains)[:50]
    hold.progress["done"] = {}
    hold.move(S.ERASING, "scan")
    if rounds % ATTEMPTS_MAX == 0:
        hold.fail(StillThere(), is_last=True)
        return False
    return True


_STEPS: Final = {S.GRACE: _freeze, S.FROZEN: _gather, S.ERASING: _erase, S.VERIFYING: _verify}


def _identity(hold: Hold) -> Identity:
    """With the addresses that were a person's, while they are still known."""
    values = needles.opened(bytes(hold.request.needles_sealed))
    found = hold.request.identity
    return Identity(
        found.whose, id=found.id, emails=values.emails, tenant_id=found.tenant_id, subject=found.subject
    )


def _noted(erased: Erased) -> dict[str, Any]:
    return {"counts": erased.counts, "kept": erased.kept, "at": int(timezone.now().timestamp())}


def _sha256(document: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(document)).hexdigest()
