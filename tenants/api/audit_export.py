"""All that a question to the audit log finds, in a file: oldest first, sent as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from gdpr.domain import audit_formats as formats
from gdpr.domain.audit import Actor, record
from gdpr.domain.audit_log import pages_of
from gdpr.models import AuditEntry
from tenants.api.audit import AuditFilter, chosen
from tenants.api.base import ManagementView
from tenants.api.streaming import csv_lines, streamed_answer
from tenants.api.tenancy import scope_of
from tenants.rules import Capability

Pages = Iterable[Iterable[AuditEntry]]


def _csv_texts(pages: Pages) -> Iterator[bytes]:
    yield csv_lines([formats.FIELDS])
    for page in pages:
        yield csv_lines(formats.entry_fields(entry).values() for entry in page)


def _syslog_texts(pages: Pages) -> Iterator[bytes]:
    return formats.line_texts(pages, partial(formats.syslog_line, host=formats.host_name()))


def _cef_texts(pages: Pages) -> Iterator[bytes]:
    return formats.line_texts(pages, formats.cef_line)


# The texts, the kind of content, and how a file of it ends.
FORMATS: Final[Mapping[str, tuple[Callable[[Pages], Iterator[bytes]], str, str]]] = {
    "json": (formats.json_texts, "application/json", "json"),
    "csv": (_csv_texts, "text/csv", "csv"),
    "cef": (_cef_texts, "text/plain", "cef"),
    "syslog": (_syslog_texts, "text/plain", "log"),
}


class ExportQuery(AuditFilter):
    format = serializers.ChoiceField(list(FORMATS), default="json")


class AuditExport(ManagementView):
    capabilities = {"GET": Capability.AUDIT_READ}

    @extend_schema(
        operation_id="export_audit_entries",
        parameters=[ExportQuery],
        responses={200: OpenApiResponse(OpenApiTypes.STR, description="A file")},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """In a file, oldest first: JSON (one array, an entry in each line), CSV, CEF, or syslog as RFC 5424 has it.
        That it was exported is itself in the log."""
        query = self.read_query(ExportQuery)
        return exported(
            request._request,
            query,
            scope=lambda: scope_of(self.caller, "export of audit entries"),
            actor=self.actor,
            tenant_id=UUID(self.caller.tenant_id),
        )


def exported(
    request: HttpRequest,
    query: Mapping[str, Any],
    *,
    scope: Callable[[], AbstractContextManager[None]],
    actor: Actor,
    tenant_id: UUID,
) -> HttpResponseBase:
    """By an ExportQuery, of what `scope` lets see. `tenant_id`: of whose people it is that asks."""
    texts, content_type, ending = FORMATS[query["format"]]
    with scope():
        chosen(query)  # what is wrong with the question is told before the 200
        record("audit.exported", actor=actor, tenant_id=tenant_id, details=_asked(query))
    return streamed_answer(
        request, f"audit.{ending}", content_type, texts(pages_of(lambda: chosen(query), scope))
    )


def _asked(query: Mapping[str, Any]) -> dict[str, str]:
    """Which fields narrowed it, and of what was asked only what the program itself chose."""
    given = [name for name, value in query.items() if value and name != "format"]
    return {"format": query["format"], "by": ",".join(sorted(given))}
