from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from gdpr.sub_processors import SubProcessor, SubProcessorObjection
from tenants.domain.sub_processors import (
    announce_sub_processor,
    end_sub_processor,
    object_to_sub_processor,
    state_of,
)
from tenants.domain.tenancy import StateRefused
from tenants.enums import TenantStatus
from tenants.models import Alert, Tenant, WebhookEvent
from tests.factories.tenants import TESTER, make_tenant

FIRM = {"name": "Hosting AG", "purpose": "runs the machines", "country": "DE", "data": "all", "url": ""}


def announce(notice_days: int = 30) -> SubProcessor:
    return announce_sub_processor(FIRM, notice_days=notice_days, actor=TESTER)


def told(tenant: Tenant) -> list[str]:
    with tenant_tx(tenant.id):
        alerts = Alert.objects.filter(kind="subprocessor_change")
        published = WebhookEvent.objects.filter(type__startswith="sub_processor.").order_by("id")
        assert alerts.count() == published.count()
        return list(published.values_list("type", flat=True))


def test_every_tenant_is_told_by_webhook_and_alert_before_it_is_in_force(db: None) -> None:
    one, another = make_tenant(), make_tenant(status=TenantStatus.SUSPENDED)
    closed = make_tenant(status=TenantStatus.CLOSED)

    firm = announce()

    assert told(one) == told(another) == ["sub_processor.announced"]
    assert told(closed) == []
    assert firm.in_force_at - firm.announced_at == timedelta(days=30)
    assert state_of(firm) == "announced"
    assert state_of(firm, firm.in_force_at) == "in force"
    with colony_tx("tests"):
        entry = AuditEntry.objects.get(event="sub_processor.announced")
    assert entry.details == {"notice_days": 30, "country": "DE", "in_force_at": entry.details["in_force_at"]}


def test_tenant_objects_once_while_it_is_announced(db: None) -> None:
    tenant, firm = make_tenant(), announce()

    object_to_sub_processor(tenant.id, firm.id, reason="not in the EU", actor=TESTER)

    with pytest.raises(StateRefused, match="objected to Hosting AG already"):
        object_to_sub_processor(tenant.id, firm.id, reason="again", actor=TESTER)
    with colony_tx("tests"):
        assert SubProcessorObjection.objects.get().reason == "not in the EU"
        assert Alert.objects.filter(tenant=None, kind="subprocessor_objection").count() == 1
        assert AuditEntry.objects.get(event="sub_processor.objected").tenant_id == tenant.id


def test_what_is_in_force_is_past_objection(db: None) -> None:
    with pytest.raises(StateRefused, match="is in force"):
        object_to_sub_processor(make_tenant().id, announce(notice_days=0).id, reason="x", actor=TESTER)


def test_end_is_told_and_is_the_end(db: None) -> None:
    tenant, firm = make_tenant(), announce(notice_days=0)

    ending = end_sub_processor(firm.id, notice_days=14, actor=TESTER)

    assert told(tenant) == ["sub_processor.announced", "sub_processor.ending"]
    assert state_of(ending) == "ending"
    assert state_of(ending, timezone.now() + timedelta(days=15)) == "ended"
    with pytest.raises(StateRefused, match="is ending"):
        end_sub_processor(firm.id, actor=TESTER)


def test_nobody_reads_the_objections_of_another(db: None) -> None:
    firm, tenant, other = announce(), make_tenant(), make_tenant()
    object_to_sub_processor(tenant.id, firm.id, reason="x", actor=TESTER)

    with tenant_tx(other.id):
        assert SubProcessorObjection.objects.count() == 0
