from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.domain.accounts import find_account
from billing.domain.slices import standing
from billing.enums import AccountState, BillingMode
from billing.models import Balance
from tenants.api.base import ManagementView, list_response
from tenants.api.tenancy import find_tenant, scope_of
from tenants.rules import Capability


class BalanceQuery(serializers.Serializer[Any]):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant; left out: its own"
    )


class BalanceOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="balance")
    tenant = serializers.SlugField()
    currency = serializers.CharField()
    mode = serializers.ChoiceField(BillingMode.choices)
    state = serializers.ChoiceField(AccountState.choices)
    balance_micros = serializers.IntegerField(help_text="Negative: it owes")
    reserved_micros = serializers.IntegerField(help_text="Of the balance, what is held for tasks")
    available_micros = serializers.IntegerField(
        allow_null=True, help_text="What more can be held; null: no limit"
    )


class Balances(ManagementView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(operation_id="get_balance", parameters=[BalanceQuery], responses=BalanceOut(many=True))
    def get(self, request: Request) -> Response:
        """What a tenant has, by currency; that of its account first."""
        query = self.read_query(BalanceQuery)
        with scope_of(self.caller, "a balance"):
            tenant = find_tenant(query["tenant"] or self.caller.tenant_slug)
            account = find_account(tenant.id)
            others = Balance.objects.filter(tenant_id=tenant.id).exclude(currency=account.currency)
            currencies = [account.currency, *others.order_by("currency").values_list("currency", flat=True)]
            return list_response(
                [
                    {
                        "object": "balance",
                        "tenant": tenant.slug,
                        "currency": currency,
                        "mode": account.mode,
                        "state": account.state,
                        **standing(tenant.id, currency)._asdict(),
                    }
                    for currency in currencies
                ]
            )
