"""Usage told to Stripe's Billing Meters: for each tenant, meter and minute of settlement one event, through the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing.domain.stripe_outbox import ask_later
from billing.stripe_models import StripeMeter, StripeRequest
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from hive_agent.protocol import CHARGED_OUTCOMES

AFTER: Final = timedelta(
    minutes=2
)  # a settlement that began in a minute has committed by then, but for the slow
AGAIN: Final = timedelta(minutes=30)  # looked at once more, for those
AT_ONCE: Final = timedelta(hours=6)

# Of tenants that Stripe knows, what a minute came to and what it was told of that already.
_MINUTES: Final = """
    SELECT u.tenant_id, c.customer_id, u.minute, u.quantity,
           coalesce((SELECT sum((r.body->>'value')::bigint) FROM billing_striperequest r
                     WHERE r.tenant_id = u.tenant_id AND r.operation = 'meter'
                       AND r.body->>'event_name' = %(name)s AND (r.body->>'minute')::bigint = u.minute), 0)
    FROM (
        SELECT tenant_id, (extract(epoch FROM settled_at)::bigint / 60) * 60 AS minute, sum(part.quantity) AS quantity
        FROM billing_usageevent
        CROSS JOIN LATERAL (
            SELECT sum(value::bigint) AS quantity FROM jsonb_each_text(usage) WHERE key = ANY(%(units)s)) part
        WHERE settled_at >= %(start)s AND settled_at < %(end)s AND outcome = ANY(%(outcomes)s)
        GROUP BY 1, 2
    ) u
    JOIN billing_stripecustomer c ON c.tenant_id = u.tenant_id
    WHERE u.quantity > 0
    ORDER BY u.minute
"""


def report_usage(now: datetime | None = None) -> int:
    """Returns how many events were written."""
    end = ((now or timezone.now()) - AFTER).replace(second=0, microsecond=0)
    with colony_tx("meters of Stripe"):
        meters = list(StripeMeter.objects.all())
    return sum(_report(meter, end) for meter in meters)


def set_meter(event_name: str, meter_id: str, units: Sequence[str], *, actor: Actor) -> StripeMeter:
    """From this moment on."""
    with colony_tx("a meter of Stripe"):
        meter, _ = StripeMeter.objects.update_or_create(
            event_name=event_name, defaults={"meter_id": meter_id, "units": sorted(set(units))}
        )
        record(
            "stripe_meter.set",
            actor=actor,
            object_ref=f"stripe_meter:{event_name}",
            details={"units": meter.units},
        )
        return meter


def remove_meter(event_name: str, *, actor: Actor) -> bool:
    with colony_tx("a meter of Stripe"):
        removed, _ = StripeMeter.objects.filter(event_name=event_name).delete()
        if removed:
            record("stripe_meter.removed", actor=actor, object_ref=f"stripe_meter:{event_name}")
        return bool(removed)


def _report(meter: StripeMeter, end: datetime) -> int:
    if end <= meter.reported_until:
        return 0
    end = min(end, meter.reported_until + AT_ONCE)
    with colony_tx("usage for a meter of Stripe"), connection.cursor() as cursor:
        cursor.execute(
            _MINUTES,
            {
                "name": meter.event_name,
                "units": meter.units,
                "start": (meter.reported_until - AGAIN).replace(second=0, microsecond=0),
                "end": end,
                "outcomes": [str(outcome) for outcome in CHARGED_OUTCOMES],
            },
        )
        rows = cursor.fetchall()
    written = sum(_tell(meter, *row) for row in rows)
    with colony_tx("usage for a meter of Stripe"):
        StripeMeter.objects.filter(event_name=meter.event_name).update(reported_until=end)
    return written


def _tell(
    meter: StripeMeter, tenant_id: UUID, customer_id: str, minute: int, quantity: int, told: int
) -> bool:
    """What came after the minute was told of gets an event of its own, whose identifier counts them."""
    if quantity <= told:
        return False
    stem = f"meter:{meter.event_name}:{tenant_id.hex}:{minute}:"
    body = {
        "event_name": meter.event_name,
        "meter": meter.meter_id,
        "customer": customer_id,
        "minute": int(minute),
        "value": int(quantity - told),
    }
    with tenant_tx(tenant_id):
        count = StripeRequest.objects.filter(operation="meter", key__startswith=stem).count()
        return ask_later(tenant_id, "meter", f"{stem}{count}", body)
