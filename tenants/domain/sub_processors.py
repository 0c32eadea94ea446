"""Sub-processors of the operator: a change is told to every tenant before it is in force, and a tenant can object.

    announced ──notice──► in force ──ending told──► ended

Notice goes by webhook (`sub_processor.announced`, `sub_processor.ending`) and as an alert, which is mailed to owner,
administrators and data-protection officer. What follows from an objection is for the contract to say: rbee records it
and alerts the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from gdpr.sub_processors import SubProcessor, SubProcessorObjection
from tenants.domain.alerts import raise_alert
from tenants.domain.outbox import moment_text, publish
from tenants.domain.tenancy import OPERATOR_TENANTS, StateRefused
from tenants.enums import TenantStatus
from tenants.models import Tenant

NOTICE_DAYS: Final = 30
CHANGE: Final = "subprocessor_change"  # kinds of alerts
OBJECTION: Final = "subprocessor_objection"

State = Literal["announced", "in force", "ending", "ended"]


def announce_sub_processor(
    fields: Mapping[str, str], *, actor: Actor, notice_days: int = NOTICE_DAYS
) -> SubProcessor:
    """`fields`: name, purpose, country, data, url."""
    now = timezone.now()
    with colony_tx("a sub-processor is announced to every tenant"):
        added = SubProcessor.objects.create(
            **fields, announced_at=now, in_force_at=now + timedelta(days=notice_days)
        )
        record(
            "sub_processor.announced", actor=actor, object_ref=_ref(added),
            details={"notice_days": notice_days, "country": added.country, "in_force_at": moment_text(added.in_force_at)},
        )  # fmt: skip
        _tell(
            added, "sub_processor.announced", added.in_force_at,
            f"From {added.in_force_at:%Y-%m-%d} on, {added.name} ({added.country}) is to process data for the operator:"
            f" {added.purpose}. It gets: {added.data}. You can object until then.",
        )  # fmt: skip
    return added


def end_sub_processor(sub_processor_id: UUID, *, actor: Actor, notice_days: int = 0) -> SubProcessor:
    """Ended is ended. Raises SubProcessor.DoesNotExist, StateRefused."""
    now = timezone.now()
    with colony_tx("the end of a sub-processor is told to every tenant"):
        ending = SubProcessor.objects.select_for_update().get(id=sub_processor_id)
        if ending.ends_at is not None:
            raise StateRefused("state", f"{ending.name} is {state_of(ending)}.")
        ending.ending_announced_at, ending.ends_at = now, now + timedelta(days=notice_days)
        ending.save(update_fields=["ending_announced_at", "ends_at"])
        record(
            "sub_processor.ending", actor=actor, object_ref=_ref(ending),
            details={"notice_days": notice_days, "ends_at": moment_text(ending.ends_at)},
        )  # fmt: skip
        _tell(
            ending, "sub_processor.ending", ending.ends_at,
            f"From {ending.ends_at:%Y-%m-%d} on, {ending.name} processes no data for the operator any more.",
        )  # fmt: skip
    return ending


def object_to_sub_processor(
    tenant_id: UUID, sub_processor_id: UUID, *, reason: str, actor: Actor
) -> SubProcessorObjection:
    """While it is announced. Raises SubProcessor.DoesNotExist, StateRefused when it is in force or was objected to."""
    wanted = SubProcessor.objects.get(id=sub_processor_id)
    if state_of(wanted) != "announced":
        raise StateRefused("state", f"{wanted.name} is {state_of(wanted)}: an objection is for what is announced.")
    with tenant_tx(tenant_id):
        try:
            with transaction.atomic():
                made = SubProcessorObjection.objects.create(
                    tenant_id=tenant_id, sub_processor=wanted, reason=reason
                )
        except IntegrityError:
            raise StateRefused("state", f"You have objected to {wanted.name} already.") from None
        record("sub_processor.objected", actor=actor, object_ref=_ref(wanted))
        with colony_tx("an objection to a sub-processor is told to the operator"):
            raise_alert(
                tenant_id=None,
                kind=OBJECTION,
                object_ref=_ref(wanted),
                message=f"A tenant objects to {wanted.name}: `rbee gdpr subprocessor list` has all objections.",
            )
    return made


def state_of(one: SubProcessor, now: datetime | None = None) -> State:
    now = now or timezone.now()
    if one.ends_at is not None:
        return "ended" if one.ends_at <= now else "ending"
    return "in force" if one.in_force_at <= now else "announced"


def _tell(changed: SubProcessor, event: str, when: datetime, message: str) -> None:
    """Every tenant that is there, by webhook and as an alert of its own."""
    told: dict[str, Any] = {"sub_processor": str(changed.id), "country": changed.country}
    told["in_force_at" if event == "sub_processor.announced" else "ends_at"] = moment_text(when)
    tenants = Tenant.objects.exclude(status=TenantStatus.CLOSED).exclude(slug__in=OPERATOR_TENANTS)
    for tenant_id in tenants.values_list("id", flat=True):
        publish(event, tenant_id, told)
        raise_alert(
            tenant_id=tenant_id, kind=CHANGE, object_ref=f"{_ref(changed)}:{event.partition('.')[2]}", message=message
        )


def _ref(one: SubProcessor) -> str:
    return f"sub_processor:{one.id.hex}"
