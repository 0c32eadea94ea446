"""Telling that keys are about to expire, once for each time at which one does."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.keys import instant, ref_of, told
from tenants.domain.outbox import publish
from tenants.enums import TenantStatus
from tenants.models import ApiKey

TOLD_BEFORE: Final = timedelta(days=7)
ACTOR: Final = Actor.system("tenants")


def tell_expiring_keys() -> int:
    """Returns of how many it was told."""
    now = timezone.now()
    with colony_tx("keys that expire"):
        due = list(
            ApiKey.objects.filter(
                revoked_at=None,
                expiry_told_at=None,
                expires_at__gt=now,
                expires_at__lte=now + TOLD_BEFORE,
                tenant__status=TenantStatus.ACTIVE,
            )
        )
    return sum(_tell(key) for key in due)


def _tell(key: ApiKey) -> bool:
    with tenant_tx(key.tenant_id):
        row = ApiKey.objects.select_for_update().get(id=key.id)
        if row.expiry_told_at is not None or row.expires_at != key.expires_at or row.revoked_at is not None:
            return False  # told or changed meanwhile
        assert row.expires_at is not None
        row.expiry_told_at = timezone.now()
        row.save(update_fields=["expiry_told_at"])
        record("key.expiry_told", actor=ACTOR, object_ref=ref_of(row))
        publish("key.expiring", row.tenant_id, {**told(row), "expires_at": instant(row.expires_at)})
    return True
