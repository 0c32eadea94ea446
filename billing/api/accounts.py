from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import (
    BillingAccountChange,
    BillingAccountOut,
    CreditOut,
    NewCredit,
    NewPayment,
    OfTenant,
    PaymentOut,
    SellerChange,
    SellerOut,
    account_row,
)
from billing.domain.account_terms import change_terms
from billing.domain.accounts import TERMS, find_account, lock_account
from billing.domain.receipts import credit, pay
from billing.domain.sellers import change_seller, find_seller
from billing.enums import PaymentMethod
from billing.models import Balance, Payment
from gdpr.scope import colony_tx, tenant_tx
from tenants.api.base import ManagementView, list_response, page_of
from tenants.api.etags import tagged, unchanged
from tenants.api.tenancy import TenantQuery, find_tenant, scope_of, tenant_of
from tenants.models import Tenant
from tenants.rules import Capability


class Account(ManagementView):
    has_etag = True
    capabilities = {
        "GET": Capability.BILLING_READ,
        "PATCH": Capability.BILLING_WRITE,
    }
    audits = {"PATCH": "billing_account.changed"}

    @extend_schema(operation_id="get_billing_account", parameters=[OfTenant], responses=BillingAccountOut)
    def get(self, request: Request) -> Response:
        """How a tenant pays, and what it has."""
        return tagged(self.shown(self.tenant()))

    @extend_schema(
        operation_id="update_billing_account",
        parameters=[OfTenant],
        request=BillingAccountChange,
        responses=BillingAccountOut,
    )
    def patch(self, request: Request) -> Response:
        body, tenant = self.read_body(BillingAccountChange), self.tenant()
        if not TERMS.isdisjoint(body):
            self.require(Capability.COLONY_WRITE)
        with tenant_tx(tenant.id):
            account = lock_account(tenant.id)
            with unchanged(request, tenant_tx(tenant.id), account, lambda _: self.shown(tenant)):
                change_terms(tenant.id, body, actor=self.actor)
        return tagged(self.shown(tenant))

    def tenant(self) -> Tenant:
        return tenant_of(self.caller, self.read_query(OfTenant)["tenant"])

    def shown(self, tenant: Tenant) -> Any:
        with tenant_tx(tenant.id):
            balances = list(Balance.objects.order_by("currency"))
            return BillingAccountOut(account_row(find_account(tenant.id), tenant.slug, balances)).data


class SellerView(ManagementView):
    has_etag = True
    capabilities = {
        "GET": Capability.COLONY_READ,
        "PATCH": Capability.COLONY_WRITE,
    }
    audits = {"PATCH": "seller.changed"}

    @extend_schema(operation_id="get_billing_seller", responses=SellerOut)
    def get(self, request: Request) -> Response:
        """Whom invoices come from."""
        return tagged(self.shown())

    @extend_schema(operation_id="update_billing_seller", request=SellerChange, responses=SellerOut)
    def patch(self, request: Request) -> Response:
        """Holds for what is issued from then on."""
        body = self.read_body(SellerChange)
        with colony_tx("seller, if unchanged"):
            seller = change_seller({}, actor=self.actor)
            with unchanged(request, colony_tx("seller, if unchanged"), seller, lambda _: self.shown()):
                change_seller(body, actor=self.actor)
        return tagged(self.shown())

    def shown(self) -> Any:
        return SellerOut(find_seller()).data


class Payments(ManagementView):
    capabilities = {
        "GET": Capability.BILLING_READ,
        "POST": Capability.COLONY_WRITE,
    }
    audits = {"POST": "payment.received"}

    @extend_schema(operation_id="list_payments", parameters=[TenantQuery], responses=PaymentOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(TenantQuery)
        with scope_of(self.caller, "list of payments"):
            rows = Payment.objects.select_related("tenant")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            found, cursor = page_of(rows, query)
            return list_response([dict(PaymentOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="receive_payment", request=NewPayment, responses={201: PaymentOut})
    def post(self, request: Request) -> Response:
        """Money that came by the bank. It pays open invoices, the oldest first, or is a top-up with a receipt."""
        body = self.read_body(NewPayment)
        payment, is_new = pay(
            tenant_of(self.caller, body["tenant"]).id,
            method=PaymentMethod(body["method"]),
            reference=body["reference"],
            amount_micros=body["amount_micros"],
            currency=body["currency"],
            note=body["note"],
            actor=self.actor,
        )
        return Response(PaymentOut(payment).data, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


class Credits(ManagementView):
    capabilities = {
        "POST": Capability.COLONY_WRITE,
    }
    audits = {"POST": "credit.given"}

    @extend_schema(operation_id="give_credit", request=NewCredit, responses={201: CreditOut})
    def post(self, request: Request) -> Response:
        """A gift to a tenant's balance."""
        body = self.read_body(NewCredit)
        tenant = tenant_of(self.caller, body["tenant"])
        given = credit(tenant.id, body["amount_micros"], reason=body["reason"], actor=self.actor)
        row = {"object": "credit", "id": given, "tenant": tenant.slug, "amount_micros": body["amount_micros"]}
        return Response(CreditOut(row).data, status.HTTP_201_CREATED)
