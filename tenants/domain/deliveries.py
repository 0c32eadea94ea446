"""The life of a delivery in PostgreSQL: spread from its event, claimed under a lease and a fence, ended or put off.

Any number of processes may do this side by side. One that dies holds what it claimed until its leases run out; what it
sent and could not write down is sent again, under the same id.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.alerts import raise_alert
from tenants.domain.outbox import publish
from tenants.domain.webhook_events import wants
from tenants.domain.webhook_signatures import unseal
from tenants.domain.webhooks import make_delivery
from tenants.enums import DeliveryState, EndpointStatus
from tenants.models import WebhookDelivery, WebhookEndpoint, WebhookEvent

LEASE_S = 30  # longer than any fetch takes
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000)  # 71.6 hours, less the jitter
JITTER = 0.2  # of a delay, taken off
STUMBLE_S = 60  # an endpoint that fails for longer is tried by one delivery at a time
PATIENCE = timedelta(days=3)  # with an endpoint that only fails
KEPT = timedelta(days=30)
SPREAD_MAX = 500  # events in one transaction
GONE = 410

logger = logging.getLogger(__name__)

_COURIER = Actor.system("webhooks")

# One at a time, so that two processes do not both see the same free places of an endpoint.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tenants.claim_deliveries', 0))"
_CLAIM = """
    UPDATE tenants_webhookdelivery SET fence = fence + 1, lease_until = now() + make_interval(secs => %(lease_s)s)
    WHERE id IN (
        SELECT due.id
        FROM (
            SELECT id, (CASE WHEN failing_since <= now() - make_interval(secs => %(stumble_s)s) THEN 1 ELSE max_in_flight END) - (
                SELECT count(*) FROM tenants_webhookdelivery busy
                WHERE busy.endpoint_id = e.id AND busy.state = 'queued' AND busy.lease_until > now()) AS free
            FROM tenants_webhookendpoint e WHERE status = 'active' AND (failing_since IS NOT NULL) = %(failing)s
        ) place
        CROSS JOIN LATERAL (
            SELECT id, next_at FROM tenants_webhookdelivery d
            WHERE d.endpoint_id = place.id AND d.state = 'queued' AND d.next_at <= now()
              AND (d.lease_until IS NULL OR d.lease_until <= now())
            ORDER BY d.next_at LIMIT greatest(place.free, 0)
        ) due
        ORDER BY due.next_at LIMIT %(most)s
    ) RETURNING id, fence
"""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this process has to send."""

    id: UUID
    fence: int
    endpoint_id: UUID
    is_failing: bool
    url: str
    secrets: tuple[bytes, ...]  # none: the queen's root secret is another one than theirs
    message_id: str
    body: bytes
    keeps_responses: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt. `status` 0: there was no answer, and `error` says why."""

    at: datetime
    status: int
    latency_ms: int
    error: str = ""
    retry_after_s: int = 0
    response: str = ""

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.status < 300


def spread_events() -> int:
    """A delivery for each endpoint that listens to an event that was not spread yet. Returns how many events were."""
    with colony_tx("spread events to webhooks"):
        events = list(
            WebhookEvent.objects.select_for_update(skip_locked=True)
            .filter(spread_at=None)
            .order_by("id")[:SPREAD_MAX]
        )
        if not events:
            return 0
        owners = {event.tenant_id for event in events if event.tenant_id}
        endpoints = list(
            WebhookEndpoint.objects.select_for_update(no_key=True)
            .filter(Q(tenant=None) | Q(tenant__in=owners))
            .exclude(status=EndpointStatus.DISABLED)
            .order_by("id")
        )
        WebhookDelivery.objects.bulk_create(
            (
                make_delivery(endpoint, event)
                for event in events
                for endpoint in endpoints
                if endpoint.tenant_id in (None, event.tenant_id) and wants(endpoint.events, event.type)
            ),
            ignore_conflicts=True,
        )
        WebhookEvent.objects.filter(id__in=[event.id for event in events]).update(spread_at=timezone.now())
    return len(events)


def claim_deliveries(most: int, *, failing: bool) -> list[Claimed]:
    """Due ones, oldest first, of endpoints that work or of those that fail. Each endpoint has so many in flight over all
    processes as it takes, one that fails for more than a minute 1."""
    if most <= 0:
        return []
    with colony_tx("claim webhooks"):
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
            cursor.execute(
                _CLAIM, {"lease_s": LEASE_S, "stumble_s": STUMBLE_S, "failing": failing, "most": most}
            )
            fences: dict[UUID, int] = dict(cursor.fetchall())
        rows = WebhookDelivery.objects.select_related("endpoint", "event").filter(id__in=fences)
        return [_claimed(row, fences[row.id]) for row in rows.order_by("next_at")]


def end_attempts(ended: Iterable[tuple[Claimed, Outcome]]) -> None:
    """Writes down what came of attempts whose lease is still ours."""
    # In one order in every process: each touches its endpoint's row.
    with colony_tx("end webhooks"):
        for claimed, outcome in sorted(ended, key=lambda pair: pair[0].endpoint_id):
            _end(claimed, outcome)


def give_up_overdue() -> int:
    """Deliveries of paused and disabled endpoints that nobody tried until their deadline."""
    with colony_tx("give up webhooks"):
        return WebhookDelivery.objects.filter(
            state=DeliveryState.QUEUED, deadline_at__lt=timezone.now()
        ).update(state=DeliveryState.FAILED, ended_at=timezone.now())


def forget_old() -> int:
    """Events of more than 30 days, with their deliveries. Returns how many rows went."""
    with colony_tx("forget webhooks"):
        deleted, _ = WebhookEvent.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    return deleted


def retry_delay_s(attempt: int, retry_after_s: int = 0) -> float | None:
    """After `attempt` that failed, the first being 1; None: no other. What the endpoint asks for is at least waited."""
    if attempt > len(RETRY_AFTER_S):
        return None
    delay_s = RETRY_AFTER_S[attempt - 1] * random.uniform(1 - JITTER, 1)  # noqa: S311 -- spreads load
    return max(delay_s, float(retry_after_s))


def body_of(event: WebhookEvent) -> bytes:
    return msgspec.json.encode(
        {
            "id": message_id(event.id),
            "type": event.type,
            "version": event.version,
            "created_at": event.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "tenant": str(event.tenant_id) if event.tenant_id else None,
            "data": event.data,
        }
    )


def message_id(event_id: UUID) -> str:
    return f"evt_{event_id.hex}"


def _claimed(row: WebhookDelivery, fence: int) -> Claimed:
    endpoint = row.endpoint
    sealed: Sequence[Any] = [endpoint.secret_sealed]
    if (
        endpoint.old_secret_sealed
        and endpoint.old_secret_until
        and endpoint.old_secret_until > timezone.now()
    ):
        sealed = [*sealed, endpoint.old_secret_sealed]
    try:
        secrets = tuple(unseal(bytes(one), endpoint.id) for one in sealed)
    except ValueError as error:
        logger.error("%s", error)
        secrets = ()
    return Claimed(
        id=row.id,
        fence=fence,
        endpoint_id=endpoint.id,
        is_failing=endpoint.failing_since is not None,
        url=endpoint.url,
        secrets=secrets,
        message_id=message_id(row.event_id),
        body=body_of(row.event),
        keeps_responses=endpoint.keeps_responses,
    )


def _end(claimed: Claimed, outcome: Outcome) -> None:
    row = (
        WebhookDelivery.objects.select_for_update(of=("self", "endpoint"))
        .select_related("endpoint")
        .filter(id=claimed.id, fence=claimed.fence, state=DeliveryState.QUEUED)
        .first()
    )
    if row is None:  # deleted, replayed, or claimed by another after our lease
        return
    now = timezone.now()
    row.attempt += 1
    row.lease_until = None
    row.log = [*row.log, _log_line(outcome)]
    row.response = outcome.response if row.endpoint.keeps_responses else ""
    delay_s = None if outcome.status == GONE else retry_delay_s(row.attempt, outcome.retry_after_s)
    if outcome.is_accepted:
        row.state, row.ended_at = DeliveryState.DELIVERED, now
    elif delay_s is None or now + timedelta(seconds=delay_s) > row.deadline_at:
        row.state, row.ended_at = DeliveryState.FAILED, now
    else:
        row.next_at = now + timedelta(seconds=delay_s)
    row.save(update_fields=["attempt", "lease_until", "log", "response", "state", "ended_at", "next_at"])
    _judge(row.endpoint, outcome, now)


def _judge(endpoint: WebhookEndpoint, outcome: Outcome, now: datetime) -> None:
    if outcome.is_accepted:
        if endpoint.failing_since is not None:
            endpoint.failing_since = None
            endpoint.save(update_fields=["failing_since"])
        return
    if endpoint.failing_since is None:
        endpoint.failing_since = now
        endpoint.save(update_fields=["failing_since"])
    if endpoint.status == EndpointStatus.DISABLED:
        return
    if outcome.status == GONE:
        _disable(endpoint, "gone")
    elif now - endpoint.failing_since >= PATIENCE:
        _disable(endpoint, "failing")


def _disable(endpoint: WebhookEndpoint, reason: str) -> None:
    endpoint.status, endpoint.disabled_reason = EndpointStatus.DISABLED, reason
    endpoint.save(update_fields=["status", "disabled_reason"])
    reference = f"webhook:{endpoint.id}"
    record(
        "webhook.disabled",
        actor=_COURIER,
        tenant_id=endpoint.tenant_id,
        object_ref=reference,
        details={"reason": reason},
    )
    publish("webhook.disabled", endpoint.tenant_id, {"endpoint": str(endpoint.id), "reason": reason})
    why = "answered 410 Gone" if reason == "gone" else f"accepted nothing for {PATIENCE.days} days"
    raise_alert(
        tenant_id=endpoint.tenant_id,
        kind="webhook_disabled",
        object_ref=reference,
        message=f"A webhook endpoint {why} and is not called until it is resumed.",
    )


def _log_line(outcome: Outcome) -> dict[str, Any]:
    return {
        "at": outcome.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "status": outcome.status or None,
        "latency_ms": outcome.latency_ms,
        "error": outcome.error,
    }
