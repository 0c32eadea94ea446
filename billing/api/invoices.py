from __future__ import annotations

from datetime import date
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import (
    Correction,
    InvoiceOut,
    InvoiceQuery,
    NewCreditNote,
    NewInvoice,
    OfTenant,
    WholeInvoiceOut,
    invoice_row,
)
from billing.domain import credit_notes, invoices
from billing.domain.invoice_pdf import pdf_of
from billing.models import Invoice, InvoiceLine
from tenants.api.base import ManagementView, list_response, page_of
from tenants.api.tenancy import find_tenant, scope_of, tenant_of
from tenants.rules import Capability

PDF = "application/pdf"


class Invoices(ManagementView):
    capabilities = {
        "GET": Capability.BILLING_READ,
        "POST": Capability.COLONY_WRITE,
    }
    audits = {"POST": "invoice.issued"}

    @extend_schema(operation_id="list_invoices", parameters=[InvoiceQuery], responses=InvoiceOut(many=True))
    def get(self, request: Request) -> Response:
        """Also credit notes, receipts and statements."""
        query = self.read_query(InvoiceQuery)
        with scope_of(self.caller, "list of invoices"):
            rows = Invoice.objects.select_related("tenant", "credits")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            rows = rows.filter(**{name: query[name] for name in ("status", "kind") if query[name]})
            found, cursor = page_of(rows, query)
            return list_response([dict(InvoiceOut(invoice_row(row)).data) for row in found], cursor)

    @extend_schema(
        operation_id="issue_invoices", request=NewInvoice, responses={201: WholeInvoiceOut(many=True)}
    )
    def post(self, request: Request) -> Response:
        """One for each currency; none when there is nothing to state. The same month again gives the same ones."""
        body = self.read_body(NewInvoice)
        tenant = tenant_of(self.caller, body["tenant"])
        if body["month"]:
            month = date.fromisoformat(f"{body['month']}-01")
            issued = invoices.close_period(tenant.id, month, actor=self.actor)
        else:
            issued = invoices.invoice_so_far(tenant.id, actor=self.actor)
        answer = list_response([self.whole(invoice.number) for invoice in issued])
        answer.status_code = status.HTTP_201_CREATED
        return answer

    def whole(self, number: str) -> dict[str, Any]:
        return whole(*found(self, number))


class UpcomingInvoices(ManagementView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(
        operation_id="list_upcoming_invoices", parameters=[OfTenant], responses=WholeInvoiceOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """What no invoice states yet, as it would be at this moment."""
        tenant = tenant_of(self.caller, self.read_query(OfTenant)["tenant"])
        with scope_of(self.caller, "upcoming invoices"):
            rows = invoices.upcoming(tenant.id)
            for invoice, _ in rows:
                invoice.tenant = tenant
            return list_response([whole(invoice, lines) for invoice, lines in rows])


class OneInvoice(ManagementView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(operation_id="get_invoice", responses=WholeInvoiceOut)
    def get(self, request: Request, number: str) -> Response:
        return Response(whole(*found(self, number)))


class InvoicePdf(ManagementView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(operation_id="get_invoice_pdf", responses={(200, PDF): OpenApiTypes.BINARY})
    def get(self, request: Request, number: str) -> HttpResponse:
        """As it is mailed."""
        invoice, lines = found(self, number)
        named = {"Content-Disposition": f'attachment; filename="{invoice.number}.pdf"'}
        return HttpResponse(pdf_of(invoice, lines), content_type=PDF, headers=named)


class CreditInvoice(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "invoice.issued"}

    @extend_schema(operation_id="credit_invoice", request=NewCreditNote, responses={201: WholeInvoiceOut})
    def post(self, request: Request, number: str) -> Response:
        """Forgives it, or a part. Of a receipt: the money goes back, out of the balance."""
        invoice, body = found(self, number)[0], self.read_body(NewCreditNote)
        note = credit_notes.credit_invoice(
            invoice,
            gross_minor=body.get("amount_minor"),
            line=body.get("line"),
            reason=body["reason"],
            actor=self.actor,
        )
        return Response(whole(*found(self, note.number)), status.HTTP_201_CREATED)


class VoidInvoice(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "invoice.voided"}

    @extend_schema(operation_id="void_invoice", request=Correction, responses={201: WholeInvoiceOut})
    def post(self, request: Request, number: str) -> Response:
        """Takes back one that was wrong. What it covered is invoiced anew. The answer is its credit note."""
        invoice, body = found(self, number)[0], self.read_body(Correction)
        note = credit_notes.void_invoice(invoice, reason=body["reason"], actor=self.actor)
        return Response(whole(*found(self, note.number)), status.HTTP_201_CREATED)


class WriteOffInvoice(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "invoice.written_off"}

    @extend_schema(operation_id="write_off_invoice", request=Correction, responses=WholeInvoiceOut)
    def post(self, request: Request, number: str) -> Response:
        """Nobody expects its money any more; what is owed stays owed."""
        invoice, body = found(self, number)[0], self.read_body(Correction)
        credit_notes.write_off(invoice, reason=body["reason"], actor=self.actor)
        return Response(whole(*found(self, number)))


def found(view: ManagementView, number: str) -> tuple[Invoice, list[InvoiceLine]]:
    """Raises NotFound, also for one of somebody else."""
    with scope_of(view.caller, "an invoice"):
        invoice = Invoice.objects.select_related("tenant", "credits", "payment").filter(number=number).first()
        if invoice is None:
            raise NotFound("There is no such invoice.")
        return invoice, list(InvoiceLine.objects.filter(invoice=invoice))


def whole(invoice: Invoice, lines: list[InvoiceLine]) -> dict[str, Any]:
    return dict(WholeInvoiceOut(invoice_row(invoice, lines)).data)
