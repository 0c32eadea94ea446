"""Alerts: what somebody has to see to. Of a tenant, or of the operator when the tenant is None.

One that is raised again while it is open is counted, so a script that breaks a thousand times is one alert.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from uuid import UUID

from django.db import connection
from django.utils import timezone

from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.ids import uuid7
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.outbox import publish
from tenants.models import Alert

MAIL = "tenants.mail_alerts"  # the chore

_SYSTEM = Actor.system("alerts")
# A new row has no deleting transaction; one that was found is locked by this.
_RAISE = """
    INSERT INTO tenants_alert (id, tenant_id, kind, object_ref, message, count, first_at, last_at)
    VALUES (%s, %s, %s, %s, %s, %s, now(), now())
    ON CONFLICT (tenant_id, kind, object_ref) WHERE closed_at IS NULL
    DO UPDATE SET count = tenants_alert.count + excluded.count, message = excluded.message, last_at = excluded.last_at
    RETURNING id, xmax = 0
"""


def raise_alert(
    *, tenant_id: UUID | None, kind: str, object_ref: str, message: str, count: int = 1
) -> UUID | None:
    """Inside the transaction of what it tells of. The alert's id when this opened it, None when it was open."""
    with connection.cursor() as cursor:
        cursor.execute(_RAISE, [uuid7(), tenant_id, kind, object_ref, message, count])
        alert_id, is_opened = cursor.fetchone()
    if not is_opened:
        return None
    record(
        "alert.opened",
        actor=_SYSTEM,
        tenant_id=tenant_id,
        object_ref=f"alert:{alert_id}",
        details={"kind": kind, "object": object_ref},
    )
    publish("alert.opened", tenant_id, {"alert": str(alert_id), "kind": kind, "object": object_ref})
    hint_after_commit(MAIL)
    return UUID(str(alert_id))


def close_alert(alert: Alert, *, actor: Actor) -> Alert:
    """Nothing happens when it is closed."""
    with _scope_of(alert.tenant_id):
        alert = Alert.objects.select_for_update(of=("self",)).get(id=alert.id)
        if alert.closed_at is not None:
            return alert
        alert.closed_at = timezone.now()
        alert.save(update_fields=["closed_at"])
        record(
            "alert.closed",
            actor=actor,
            tenant_id=alert.tenant_id,
            object_ref=f"alert:{alert.id}",
            details={"kind": alert.kind, "object": alert.object_ref, "count": alert.count},
        )
        told = {"alert": str(alert.id), "kind": alert.kind, "object": alert.object_ref}
        publish("alert.closed", alert.tenant_id, told)
    return alert


def _scope_of(tenant_id: UUID | None) -> AbstractContextManager[None]:
    return colony_tx("alert of the operator") if tenant_id is None else tenant_tx(tenant_id)
