"""What was used in a period, as it is rated: charged tasks only, by the time inside their UUIDv7.

Quantities are those that a price is for, as `billing.domain.pricing.billable` has them of one task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from psycopg.types.json import Jsonb

from billing.domain.prices import version_of
from billing.domain.pricing import ANY_MODEL, PriceVersion
from billing.domain.rating import UsedQuantity
from billing.domain.units import CACHED, IMAGES, PROMPT, REQUESTS, SIZED_IMAGES
from billing.models import Price
from gdpr.ids import month_of
from hive_agent.protocol import CHARGED_OUTCOMES

_OUTCOMES: Final = [str(outcome) for outcome in CHARGED_OUTCOMES]
_SIZED: Final = f"^{SIZED_IMAGES.pattern}$"

QUERY: Final = f"""
    SELECT e.tenant_id, e.project_id, e.model, e.price_id, u.unit, sum(u.quantity) AS quantity
    FROM billing_usageevent e
    JOIN billing_price p ON p.id = e.price_id
    CROSS JOIN LATERAL (SELECT coalesce(%(card)s::jsonb -> e.model, %(card)s::jsonb -> '{ANY_MODEL}', p.prices) AS prices) c
    CROSS JOIN LATERAL (
        SELECT '{REQUESTS}' AS unit, 1::bigint AS quantity
        UNION ALL
        SELECT key, CASE
            WHEN key = '{PROMPT}' AND c.prices ? '{CACHED}'
            THEN greatest(0, value::bigint - coalesce((e.usage ->> '{CACHED}')::bigint, 0))
            WHEN key = '{IMAGES}'
            THEN greatest(0, value::bigint - coalesce((
                SELECT sum((e.usage ->> sized)::bigint) FROM jsonb_object_keys(c.prices) sized WHERE sized ~ %(sized)s
            ), 0))
            ELSE value::bigint END
        FROM jsonb_each_text(e.usage) WHERE key <> '{REQUESTS}'
    ) u
    WHERE e.month BETWEEN %(first_month)s AND %(last_month)s AND e.task_id >= %(first)s AND e.task_id < %(next)s
      AND e.outcome = ANY(%(outcomes)s) AND (%(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s::uuid) AND u.quantity > 0
    GROUP BY e.tenant_id, e.project_id, e.model, e.price_id, u.unit
    ORDER BY e.tenant_id, e.project_id, e.model, e.price_id, u.unit
"""  # noqa: S608 -- constants


class Used(NamedTuple):
    tenant_id: UUID
    quantity: UsedQuantity


def used_in_period(
    first_day: date,
    next_day: date,
    *,
    tenant_id: UUID | None = None,
    card: Mapping[str, PriceVersion] | None = None,
) -> Iterator[Used]:
    """Of all tenants that the scope sees, or of one. `card`: prices by model that its units are split for in place of those
    that were charged; the prices that come back are those that were."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY, query_parameters(first_day, next_day, tenant_id=tenant_id, card=card))
        rows = cursor.fetchall()
    return read_rows(rows)


def query_parameters(
    first_day: date,
    next_day: date,
    *,
    tenant_id: UUID | None = None,
    card: Mapping[str, PriceVersion] | None = None,
) -> dict[str, Any]:
    first, following = _id_at(first_day), _id_at(next_day)
    return {
        "card": Jsonb({model: price.prices for model, price in (card or {}).items()}),
        "sized": _SIZED,
        "first_month": month_of(first),
        "last_month": month_of(following),
        "first": first,
        "next": following,
        "outcomes": _OUTCOMES,
        "tenant": tenant_id,
    }


def read_rows(rows: Sequence[tuple[Any, ...]]) -> Iterator[Used]:
    """Of QUERY."""
    found = Price.objects.filter(id__in={row[3] for row in rows})
    versions = {price.id: version_of(price) for price in found}
    for tenant, project, model, price, unit, quantity in rows:
        yield Used(tenant, UsedQuantity(project.hex, model, unit, versions[price], int(quantity)))


def _id_at(day: date) -> UUID:
    """Below every identifier that was made on that day."""
    at_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    return UUID(int=(at_ms << 80) | (0x7 << 76) | (0b10 << 62))
