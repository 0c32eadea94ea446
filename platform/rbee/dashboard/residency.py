"""Where the tenant's data is and for how long, in a paragraph; and the papers that say so at length."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import NotFound

from gdpr.domain.documents import OF_OPERATOR, Document
from gdpr.scope import tenant_tx
from rbee.dashboard.base import Page
from tenants.api.data_map import operator_address
from tenants.api.documents import rendered
from tenants.domain.sub_processors import NOTICE_DAYS
from tenants.models import Tenant
from tenants.rules import Capability

# In the order in which a lawyer asks for them.
DOCUMENTS: Final = {
    Document.DPA: ("Data processing agreement", "Art. 28 GDPR: what is processed for you, how it is kept safe, and by whom."),
    Document.SUB_PROCESSORS: ("Sub-processors", f"Who works for the operator. Changes are announced {NOTICE_DAYS} days before."),
    Document.SECURITY: ("Security overview", "Measures in force, asked of the running system when it is made."),
}  # fmt: skip


class Residency(Page):
    section = "residency"
    capabilities = {"GET": Capability.TENANT_READ}

    def get(self, request: HttpRequest) -> HttpResponse:
        with tenant_tx(self.caller.tenant_id):
            tenant = Tenant.objects.select_related("plan").get(id=self.caller.tenant_id)
        documents = [(str(kind), *about) for kind, about in DOCUMENTS.items()]
        return self.page(
            "residency.html", {"region": tenant.region or tenant.plan.region, "documents": documents}
        )


class DownloadDocument(Page):
    section = "residency"
    capabilities = {"GET": (Capability.GDPR_REQUEST, Capability.COLONY_READ)}

    def get(self, request: HttpRequest, kind: str) -> HttpResponse:
        if kind not in set(Document) - OF_OPERATOR:
            raise NotFound("There is no such document.")
        text = rendered(
            Document(kind), operator_name=operator_address(), customer_name=self.caller.tenant_slug
        )
        answer = HttpResponse(text, content_type="text/markdown; charset=utf-8")
        answer.headers["Content-Disposition"] = f'attachment; filename="{kind}.md"'
        return answer
