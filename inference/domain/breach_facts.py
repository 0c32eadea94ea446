"""What rbee itself knows of a time in which data may have been exposed: whose, through which keys, on which hives, under which
policies, and what the audit log says of it. Identifiers and quantities only, so that a breach leaks nothing again."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Max, Q, QuerySet

from billing.models import UsageEvent
from gdpr.domain.audit_archive import minimum_index
from gdpr.domain.audit_log import Wanted, find_entries
from gdpr.domain.audit_proofs import LogDamaged, LogUnavailable, PublishedLog
from gdpr.ids import month_of, uuid7
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from inference.models import Hive, PolicyVersion
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.models import ApiKey, Tenant

TASK_S_MAX: Final = 86_400  # that one may take which was admitted before the time began
NAMED_MAX: Final = 1000  # keys of a tenant that are named one by one
TOLD: Final = (
    "auth.*",
    "account.*",
    "key.*",
    "member.*",
    "impersonation.*",
    "request.*",
    "hive.*",
    "policy.*",
)


def gather_facts(since: datetime, until: datetime) -> dict[str, Any]:
    with colony_tx("facts of a breach"):
        usage = _usage(since, until)
        entries = find_entries(Wanted(events=TOLD, since=since, until=until))
        return {
            "tenants": _tenants(usage, entries),
            "hives": _hives(usage),
            "policies": _policies(until),
            "events": _events(entries),
            "log": _log(),
        }


def _usage(since: datetime, until: datetime) -> QuerySet[UsageEvent]:
    """Tasks that ran at some moment of that time."""
    first, last = _id_at(since - timedelta(seconds=TASK_S_MAX)), _id_at(until)
    rows = UsageEvent.objects.filter(month__gte=month_of(first), month__lte=month_of(last))
    return rows.filter(task_id__gte=first, task_id__lt=last).filter(Q(ended_at=None) | Q(ended_at__gte=since))


def _tenants(usage: QuerySet[UsageEvent], entries: QuerySet[AuditEntry]) -> list[dict[str, Any]]:
    """Who had a task then, or of whom something was done."""
    used = {
        row["tenant_id"]: row
        for row in usage.order_by()
        .values("tenant_id")
        .annotate(tasks=Count("task_id"), subjects=Count("subject", distinct=True, filter=~Q(subject="")))
    }
    done = dict(entries.exclude(tenant_id=None).order_by().values_list("tenant_id").annotate(Count("id")))
    keys: dict[UUID, list[str]] = defaultdict(list)
    used_keys = usage.exclude(key=None).order_by().values("key_id").distinct()
    for tenant_id, kid in (
        ApiKey.objects.filter(id__in=used_keys).order_by("kid").values_list("tenant_id", "kid")
    ):
        keys[tenant_id].append(kid)
    found = Tenant.objects.filter(id__in={*used, *done}).order_by("slug")
    return [
        {
            "tenant": tenant.slug,
            "tenant_id": str(tenant.id),
            "is_operator": tenant.slug in OPERATOR_TENANTS,
            "tasks": used[tenant.id]["tasks"] if tenant.id in used else 0,
            "subjects": used[tenant.id]["subjects"] if tenant.id in used else 0,
            "keys_used": len(keys[tenant.id]),
            "keys": keys[tenant.id][:NAMED_MAX],
            "audit_entries": done.get(tenant.id, 0),
        }
        for tenant in found
    ]


def _hives(usage: QuerySet[UsageEvent]) -> list[dict[str, Any]]:
    """That ran tasks then."""
    tasks = dict(usage.exclude(hive_id=None).order_by().values_list("hive_id").annotate(Count("task_id")))
    return [
        {"hive": hive.name, "hive_id": str(hive.id), "region": hive.region, "tasks": tasks[hive.id]}
        for hive in Hive.objects.filter(id__in=tasks).order_by("name")
    ]


def _policies(until: datetime) -> list[dict[str, Any]]:
    """Versions that were put in force before the end of that time, newest of each first: the log says until when."""
    rows = PolicyVersion.objects.select_related("tenant").filter(activated_at__lt=until)
    newest: dict[UUID, PolicyVersion] = {}
    for row in rows.defer("source").order_by("-activated_at"):
        newest.setdefault(row.policy_id, row)
    return [
        {
            "owner": row.tenant.slug if row.tenant else "operator",
            "version": row.number,
            "version_id": str(row.id),
            "activated_at": row.activated_at.isoformat() if row.activated_at else None,
        }
        for row in newest.values()
    ]


def _events(entries: QuerySet[AuditEntry]) -> dict[str, int]:
    return dict(entries.order_by("event").values_list("event").annotate(Count("id")))


def _log() -> dict[str, Any]:
    """Where the audit log stands as this is gathered: what is said later has to agree with it."""
    last = AuditEntry.objects.aggregate(seq=Max("seq"))["seq"]
    newest = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first()
    return {
        "checkpoint": _checkpoint(),
        "size": None if last is None else last + 1,
        "minimum_index": minimum_index(),
        "newest_entry": str(newest) if newest else None,
    }


def _checkpoint() -> str | None:
    """The newest signed one, whole. None: there is none to be read."""
    try:
        return PublishedLog().note
    except (LogUnavailable, LogDamaged):
        return None


def _id_at(at: datetime) -> UUID:
    """Lower than that of whatever was made then or later, by its time."""
    made = uuid7(int(at.timestamp() * 1_000_000_000))
    return UUID(int=made.int >> 80 << 80 | 0x7 << 76 | 0b10 << 62)
