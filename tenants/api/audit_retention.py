from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain import audit_archive
from gdpr.domain.audit_archive import Month
from gdpr.log.term import KEPT_YEARS
from tenants.api.base import ManagementView
from tenants.rules import Capability


class MonthOut(serializers.Serializer[Any]):
    month = serializers.CharField(help_text="As 2027-01")
    state = serializers.ChoiceField(["running", "waiting", "archived", "dropped"])
    entries = serializers.IntegerField(allow_null=True, help_text="Of one that is written to files")
    archived_at = serializers.DateTimeField(allow_null=True)
    dropped_at = serializers.DateTimeField(allow_null=True)
    keep_until = serializers.DateField(help_text="Excluded")
    is_due = serializers.BooleanField(help_text="To be written to files, or to be dropped")


class RetentionOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="audit_retention")
    years = serializers.IntegerField(help_text="Calendar years after that of the entry")
    archive = serializers.CharField(help_text="The folder, on the queen's machine")
    minimum_index = serializers.IntegerField(
        help_text="Of the log: what is below it was dropped after its time"
    )
    months = MonthOut(many=True)


class AuditRetention(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_audit_retention", responses=RetentionOut)
    def get(self, request: Request) -> Response:
        """Which months of the audit log are in the database, which are in files, and until when they are kept."""
        now = datetime.now(UTC)
        return Response(
            {
                "object": "audit_retention",
                "years": KEPT_YEARS,
                "archive": str(audit_archive.archive_folder()),
                "minimum_index": audit_archive.minimum_index(),
                "months": [_row(month, now) for month in audit_archive.months(now)],
            }
        )


def _row(each: Month, now: datetime) -> dict[str, Any]:
    row = each.archived
    is_past = each.kept_until <= now.date()
    if row is not None:
        state = "archived" if row.dropped_at is None else "dropped"
    else:
        state = "waiting" if each.is_over else "running"
    return {
        "month": f"{each.month:%Y-%m}",
        "state": state,
        "entries": row.entries if row else None,
        "archived_at": row.archived_at if row else None,
        "dropped_at": row.dropped_at if row else None,
        "keep_until": each.kept_until,
        "is_due": state == "waiting" or (state == "archived" and is_past),
    }
