"""What the operator sets up of Stripe: prices of plans, meters, sellers; and how it stands."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count, Min
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing import stripe_gateway as gateway
from billing.api.stripe import Goes, Of, PageOut, StripeView, require_stripe, url_of
from billing.domain import connect, meters, stripe_customers
from billing.domain.accounts import find_account
from billing.enums import EventState, SendState
from billing.stripe_models import (
    ConnectedAccount,
    StripeCursor,
    StripeCustomer,
    StripeEvent,
    StripeMeter,
    StripePlan,
    StripeRequest,
)
from gdpr.scope import colony_tx, tenant_tx
from tenants.api.base import deleted_response, list_response
from tenants.models import Plan, Tenant
from tenants.rules import Capability


class StateOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="stripe")
    is_set_up = serializers.BooleanField()
    takes_webhooks = serializers.BooleanField()
    is_live = serializers.BooleanField()
    events = serializers.DictField(child=serializers.IntegerField(), help_text="How many are in which state")
    requests = serializers.DictField(child=serializers.IntegerField())
    oldest_request_at = serializers.DateTimeField(allow_null=True, help_text="Of those that wait")
    list_read_at = serializers.DateTimeField(allow_null=True)


class StripePriceBody(serializers.Serializer[Any]):
    price = serializers.RegexField(
        r"^price_[A-Za-z0-9_]{1,90}$", allow_blank=True, help_text="Stripe's; empty: it is sold no more"
    )


class StripePriceOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="stripe_price")
    plan = serializers.CharField()
    price = serializers.CharField()


class MeterBody(serializers.Serializer[Any]):
    meter = serializers.RegexField(r"^mtr_[A-Za-z0-9_]{1,90}$", help_text="Stripe's identifier")
    units = serializers.ListField(
        child=serializers.RegexField(r"^[a-z][a-z0-9_]{0,63}$"), min_length=1, max_length=20
    )


class MeterOut(serializers.ModelSerializer[StripeMeter]):
    object = serializers.CharField(default="stripe_meter", read_only=True)
    meter = serializers.CharField(source="meter_id")
    units = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = StripeMeter
        fields = ["event_name", "object", "meter", "units", "reported_until"]


class ConnectedBody(Of):
    fee_basis_points = serializers.IntegerField(min_value=0, max_value=10_000, allow_null=True)


class ConnectedOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="connected_account")
    tenant = serializers.CharField()
    may_charge = serializers.BooleanField()
    fee_basis_points = serializers.IntegerField()


class BuysFrom(Of):
    seller = serializers.SlugField(
        allow_blank=True, help_text="Whose GPUs it pays for; empty: the platform's"
    )


class BuysFromOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="buyer")
    tenant = serializers.CharField()
    seller = serializers.CharField()


class StripeState(StripeView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_stripe", responses=StateOut)
    def get(self, request: Request) -> Response:
        with colony_tx("how it stands with Stripe"):
            events = dict(StripeEvent.objects.values_list("state").annotate(Count("event_id")))
            requests = dict(StripeRequest.objects.values_list("state").annotate(Count("id")))
            waiting = StripeRequest.objects.filter(state=SendState.PENDING).aggregate(first=Min("created_at"))
            cursor = StripeCursor.objects.first()
        key = settings.RBEE.stripe_secret_key
        return Response({
            "object": "stripe",
            "is_set_up": gateway.is_set_up(),
            "takes_webhooks": bool(settings.RBEE.stripe_webhook_secret),
            "is_live": key.startswith(("sk_live", "rk_live")),
            "events": {state: events.get(state, 0) for state in EventState.values},
            "requests": {state: requests.get(state, 0) for state in SendState.values},
            "oldest_request_at": waiting["first"],
            "list_read_at": cursor.read_at if cursor else None,
        })  # fmt: skip


class PlanPrice(StripeView):
    capabilities = {"GET": Capability.COLONY_READ, "PUT": Capability.COLONY_WRITE}
    audits = {"PUT": "plan.sold_by"}

    @extend_schema(operation_id="get_plan_stripe_price", responses=StripePriceOut)
    def get(self, request: Request, slug: str) -> Response:
        return self.shown(self.plan(slug))

    @extend_schema(operation_id="set_plan_stripe_price", request=StripePriceBody, responses=StripePriceOut)
    def put(self, request: Request, slug: str) -> Response:
        body = self.read_body(StripePriceBody)
        plan = self.plan(slug)
        stripe_customers.set_plan_price(plan, body["price"], actor=self.actor)
        return self.shown(plan)

    @staticmethod
    def plan(slug: str) -> Plan:
        plan = Plan.objects.filter(slug=slug).first()
        if plan is None:
            raise NotFound("There is no such plan.")
        return plan

    @staticmethod
    def shown(plan: Plan) -> Response:
        sold = StripePlan.objects.filter(plan=plan).first()
        return Response({"object": "stripe_price", "plan": plan.slug, "price": sold.price_id if sold else ""})


class Meters(StripeView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="list_stripe_meters", responses=MeterOut(many=True))
    def get(self, request: Request) -> Response:
        rows = StripeMeter.objects.order_by("event_name")[:1000]
        return list_response([dict(MeterOut(row).data) for row in rows])


class OneMeter(StripeView):
    capabilities = {"PUT": Capability.COLONY_WRITE, "DELETE": Capability.COLONY_WRITE}
    audits = {"PUT": "stripe_meter.set", "DELETE": "stripe_meter.removed"}

    @extend_schema(operation_id="set_stripe_meter", request=MeterBody, responses=MeterOut)
    def put(self, request: Request, name: str) -> Response:
        body = self.read_body(MeterBody)
        return Response(MeterOut(meters.set_meter(name, body["meter"], body["units"], actor=self.actor)).data)

    @extend_schema(operation_id="remove_stripe_meter", responses={200: None})
    def delete(self, request: Request, name: str) -> Response:
        if not meters.remove_meter(name, actor=self.actor):
            raise NotFound("There is no such meter.")
        return deleted_response("stripe_meter", name)


class Connected(StripeView):
    capabilities = {"GET": Capability.BILLING_READ, "PUT": Capability.COLONY_WRITE}
    audits = {"PUT": "seller.fee_changed"}

    @extend_schema(operation_id="get_connected_account", parameters=[Of], responses=ConnectedOut)
    def get(self, request: Request) -> Response:
        tenant = self.tenant(self.read_query(Of)["tenant"])
        with tenant_tx(tenant.id):
            return self.shown(tenant, ConnectedAccount.objects.filter(tenant_id=tenant.id).first())

    @extend_schema(operation_id="set_platform_fee", request=ConnectedBody, responses=ConnectedOut)
    def put(self, request: Request) -> Response:
        """The platform's share of what is sold for it; null: as set for all."""
        body = self.read_body(ConnectedBody)
        tenant = self.tenant(body["tenant"])
        return self.shown(tenant, connect.set_fee(tenant.id, body["fee_basis_points"], actor=self.actor))

    @staticmethod
    def shown(tenant: Tenant, account: ConnectedAccount | None) -> Response:
        if account is None:
            raise NotFound("This tenant sells nothing here: it begins by onboarding.")
        fee = account.fee_basis_points
        return Response({
            "object": "connected_account",
            "tenant": tenant.slug,
            "may_charge": account.may_charge,
            "fee_basis_points": settings.RBEE.stripe_fee_basis_points if fee is None else fee,
        })  # fmt: skip


class Onboarding(StripeView):
    capabilities = {"POST": Capability.BILLING_WRITE}
    audits = {"POST": "seller.connected"}

    @extend_schema(operation_id="open_connect_onboarding", request=Goes, responses={201: PageOut})
    def post(self, request: Request) -> Response:
        """A page of Stripe's on which a tenant that sells its GPUs says who it is."""
        body = self.read_body(Goes)
        tenant = self.tenant(body["tenant"])
        with tenant_tx(tenant.id):
            account = find_account(tenant.id)
        return self.page(
            connect.open_onboarding(
                tenant,
                email=account.email,
                country=account.country,
                return_url=url_of(body),
                actor=self.actor,
            )
        )


class Buyer(StripeView):
    capabilities = {"PUT": Capability.COLONY_WRITE}
    audits = {"PUT": "seller.assigned"}

    @extend_schema(operation_id="set_buyer", request=BuysFrom, responses=BuysFromOut)
    def put(self, request: Request) -> Response:
        """Whose GPUs a tenant pays for."""
        body = self.read_body(BuysFrom)
        tenant = self.tenant(body["tenant"])
        require_stripe()
        seller = self.tenant(body["seller"]) if body["seller"] else None
        if seller is not None:
            with tenant_tx(seller.id):
                if not ConnectedAccount.objects.filter(tenant_id=seller.id).exists():
                    raise ValidationError({"seller": ["This tenant sells nothing here."]})
        with tenant_tx(tenant.id):
            account = find_account(tenant.id)
        customer: StripeCustomer = stripe_customers.ensure_customer(tenant, account, actor=self.actor)
        connect.set_seller(customer, seller, actor=self.actor)
        return Response(
            {"object": "buyer", "tenant": tenant.slug, "seller": seller.slug if seller else ""},
            status.HTTP_200_OK,
        )
