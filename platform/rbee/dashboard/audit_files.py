"""What a tenant takes away of the audit log, to keep and to check without us: entries, checkpoint, keys and proofs."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.exceptions import NotFound

from gdpr.domain.audit_log import find_entry
from gdpr.domain.audit_proofs import PublishedLog
from gdpr.scope import tenant_tx
from rbee.dashboard.audit import AuditPage
from rbee.dashboard.base import see
from tenants.api.audit_export import ExportQuery, exported
from tenants.api.audit_proofs import TEXT, NotPublished, as_answers
from tenants.rules import Capability


class FromLog(AuditPage):
    def of_log(self, filename: str, read: Callable[[PublishedLog], str]) -> HttpResponse:
        """Raises Damaged. What is not published yet is told by the page where it was asked for."""
        try:
            with as_answers():
                answer = HttpResponse(read(PublishedLog()), content_type=TEXT)
        except NotPublished as error:
            messages.warning(self.request, str(error.detail))
            return see("dashboard_audit")
        answer.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
        return answer


class AuditExport(AuditPage):
    capabilities = {"GET": Capability.AUDIT_READ}

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """All that a search finds. That it was exported is itself in the log."""
        return exported(
            request,
            self.asked(ExportQuery, format=request.GET.get("format", "json")),
            scope=lambda: tenant_tx(self.caller.tenant_id),
            actor=self.arrival.actor,
            tenant_id=UUID(self.caller.tenant_id),
        )


class AuditCheckpoint(FromLog):
    capabilities = {"GET": Capability.TENANT_READ}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.of_log("checkpoint.txt", lambda log: log.note)


class AuditKey(FromLog):
    capabilities = {"GET": Capability.TENANT_READ}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.of_log("audit.key", lambda log: log.keys_text)


class AuditProof(FromLog):
    capabilities = {"GET": Capability.AUDIT_READ}

    def get(self, request: HttpRequest, entry: UUID) -> HttpResponse:
        """That an entry of the tenant is in the log: entry, hashes and checkpoint in one file (C2SP tlog-proof)."""
        with tenant_tx(self.caller.tenant_id):
            found = find_entry(entry)
        if found is None:
            raise NotFound("There is no such entry.")
        return self.of_log(f"{found.id}.tlog-proof", lambda log: str(log.prove_entry(found)))
