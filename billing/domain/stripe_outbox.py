"""What Stripe is to be asked, written in the transaction that wants it and sent after it has committed.

A request that was not answered may have happened. For 20 hours it is sent again under its key, for which Stripe gives the
first answer again; after that Stripe may have forgotten the key, and is asked first whether it happened.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from django.utils import timezone

from billing.enums import SendState
from billing.stripe_models import StripeRequest
from billing.stripe_types import StripeFailure, StripeNotSetUp, StripeUnavailable
from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.alerts import raise_alert

WORK: Final = "billing.stripe_work"  # the chore
KEY_LIVES: Final = timedelta(hours=20)  # at Stripe: 24 hours at least
LATE: Final = timedelta(hours=1)
LEASE: Final = timedelta(seconds=60)  # longer than any call takes
RETRY_AFTER_S: Final = (15, 60, 300, 900, 1800, 3600)
OUTAGE: Final = 2  # that many in a row without an answer: the others need not try

logger = logging.getLogger(__name__)

STRIPE: Final = Actor.system("stripe")


class Operation(Protocol):
    """`send` and `find` talk to Stripe, `ended` and `refused` to the database, in the scope of the tenant."""

    def send(self, request: StripeRequest) -> Any: ...

    def find(self, request: StripeRequest) -> Any | None:
        """The answer of one that happened."""

    def ended(self, request: StripeRequest, answer: Any) -> None: ...

    def refused(self, request: StripeRequest, error: StripeFailure) -> None: ...


def ask_later(tenant_id: UUID, operation: str, key: str, body: Mapping[str, Any]) -> bool:
    """Inside the transaction of what it is for. False when it was asked already."""
    rows = StripeRequest.objects.bulk_create(
        [StripeRequest(tenant_id=tenant_id, operation=operation, key=key, body=dict(body))],
        ignore_conflicts=True,
    )
    is_new = StripeRequest.objects.filter(id=rows[0].id).exists()
    if is_new:
        hint_after_commit(WORK)
    return is_new


def send_due(operations: Mapping[str, Operation]) -> int:
    """Until nothing is due, or Stripe is away. Returns how many ended."""
    ended = silent = 0
    while silent < OUTAGE and (claimed := _claim()) is not None:
        request, is_doubtful = claimed
        operation = operations[request.operation]
        try:
            answer = operation.find(request) if is_doubtful else None
            answer = operation.send(request) if answer is None else answer
        except (StripeUnavailable, StripeNotSetUp) as error:
            silent += 1
            _put_off(request, error)
        except StripeFailure as error:
            silent = 0
            _end(request, SendState.FAILED, error=error, operation=operation)
            ended += 1
        else:
            silent = 0
            _end(request, SendState.SENT, answer=answer, operation=operation)
            ended += 1
    return ended


def _claim() -> tuple[StripeRequest, bool] | None:
    """The next one, and whether its key may be forgotten at Stripe."""
    with colony_tx("claim a request to Stripe"):
        now = timezone.now()
        request = (
            StripeRequest.objects.select_for_update(skip_locked=True)
            .filter(state=SendState.PENDING, next_at__lte=now)
            .order_by("next_at")
            .first()
        )
        if request is None:
            return None
        sent_before = request.first_sent_at
        request.first_sent_at = sent_before or now
        request.attempts += 1
        request.next_at = now + LEASE
        request.save(update_fields=["first_sent_at", "attempts", "next_at"])
        return request, sent_before is not None and now - sent_before > KEY_LIVES


def _put_off(request: StripeRequest, error: StripeFailure) -> None:
    step_s = RETRY_AFTER_S[min(request.attempts, len(RETRY_AFTER_S)) - 1]
    delay_s = max(step_s, getattr(error, "retry_after_s", 0)) * (1 + random.random() * 0.2)  # noqa: S311
    with colony_tx("put a request to Stripe off"):
        now = timezone.now()
        _ours(request).update(next_at=now + timedelta(seconds=delay_s), error=str(error)[:200])
        if now - request.created_at > LATE:
            raise_alert(
                tenant_id=None,
                kind="stripe_behind",
                object_ref=f"stripe:{request.operation}",
                message="Stripe does not answer; what it is to be told waits.",
            )


def _end(
    request: StripeRequest,
    state: SendState,
    *,
    operation: Operation,
    answer: Any = None,
    error: StripeFailure | None = None,
) -> None:
    """Nothing happens when another process took it over: what it asks gives the same answer."""
    with tenant_tx(request.tenant_id):
        changed = _ours(request).update(
            state=state,
            error=str(error)[:200] if error else "",
            answer_id=str(getattr(answer, "id", "") or getattr(answer, "reference", "")),
            ended_at=timezone.now(),
        )
        if not changed:
            return
        if error is None:
            operation.ended(request, answer)
        else:
            operation.refused(request, error)
        if request.operation != "meter":  # those come each minute
            record(
                "stripe_request.ended",
                actor=STRIPE,
                object_ref=f"stripe_request:{request.id.hex}",
                outcome="ok" if error is None else "refused",
                details={"operation": request.operation, "attempts": request.attempts},
            )


def _ours(request: StripeRequest) -> Any:
    """Unless it was claimed again since."""
    return StripeRequest.objects.filter(id=request.id, attempts=request.attempts,
                                        state=SendState.PENDING)  # fmt: skip
