"""Paying by Stripe: pages to go to, payments and what went back, auto-recharge, subscriptions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing import stripe_gateway as gateway
from billing.api.fields import PaymentOut
from billing.domain import auto_recharge, reversals, stripe_customers
from billing.domain.accounts import find_account
from billing.models import Payment
from billing.stripe_models import AutoRecharge, Reversal, StripeCustomer, StripeSubscription
from billing.stripe_types import Page, StripeNotSetUp
from gdpr.scope import colony_tx, tenant_tx
from tenants.api.base import ManagementView, list_response
from tenants.api.tenancy import TenantQuery, scope_of, tenant_of
from tenants.models import Plan, Tenant
from tenants.rules import Capability

BIGINT_MAX = 2**63 - 1


class Micros(serializers.IntegerField):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"min_value": 1, "max_value": BIGINT_MAX, **arguments})


class Of(serializers.Serializer[Any]):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator: whose it is")


class Goes(Of):
    return_url = serializers.URLField(
        default="",
        allow_blank=True,
        max_length=2000,
        help_text="Where the page leads afterwards; to us if left out",
    )


class TopUp(Goes):
    amount_micros = Micros(help_text="Millionths of the account's currency, in whole cents")
    save_card = serializers.BooleanField(default=False, help_text="For auto-recharge")


class NewSubscription(Goes):
    plan = serializers.SlugField()


class PageOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="page")
    id = serializers.CharField()
    url = serializers.CharField(help_text="Of Stripe's page, to open in a browser")


class ReversalOut(serializers.ModelSerializer[Reversal]):
    object = serializers.CharField(default="reversal", read_only=True)
    payment = serializers.UUIDField(source="payment_id")

    class Meta:
        model = Reversal
        fields = ["id", "object", "payment", "kind", "state", "amount_micros", "tax_micros", "lost_micros", "currency",
                  "reason", "is_closed", "created_at"]  # fmt: skip


class RefundBody(serializers.Serializer[Any]):
    amount_micros = Micros(required=False, help_text="All that is left, if left out")
    reason = serializers.CharField(max_length=200, default="", allow_blank=True)


class CardOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="card")
    brand = serializers.CharField()
    last4 = serializers.CharField()
    expires = serializers.CharField()


class AutoRechargeBody(Of):
    on = serializers.BooleanField(required=False, source="is_on")
    threshold_micros = Micros(required=False)
    amount_micros = Micros(required=False)
    month_max_micros = Micros(required=False)


class AutoRechargeOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="auto_recharge")
    tenant = serializers.CharField()
    on = serializers.BooleanField()
    threshold_micros = serializers.IntegerField(allow_null=True)
    amount_micros = serializers.IntegerField(allow_null=True)
    month_max_micros = serializers.IntegerField(allow_null=True)
    is_charging = serializers.BooleanField()
    paused_for = serializers.CharField()


class SubscriptionOut(serializers.ModelSerializer[StripeSubscription]):
    object = serializers.CharField(default="subscription", read_only=True)
    id = serializers.CharField(source="subscription_id")
    plan = serializers.CharField(source="plan.slug", default=None, allow_null=True)

    class Meta:
        model = StripeSubscription
        fields = ["id", "object", "plan", "status", "period_ends_at", "ends_at_period", "created_at"]


class StripeView(ManagementView):
    def tenant(self, slug: str) -> Tenant:
        """Raises NotFound."""
        return tenant_of(self.caller, slug)

    def page(self, page: Page) -> Response:
        return Response({"object": "page", "id": page.id, "url": page.url}, status.HTTP_201_CREATED)

    def found(self, payment_id: UUID) -> Payment:
        with scope_of(self.caller, "a payment"):
            payment = Payment.objects.select_related("tenant").filter(id=payment_id).first()
        if payment is None:
            raise NotFound("There is no such payment.")
        return payment


class Checkout(StripeView):
    capabilities = {"POST": Capability.BILLING_WRITE}
    audits = {"POST": "checkout.opened"}

    @extend_schema(operation_id="open_checkout", request=TopUp, responses={201: PageOut})
    def post(self, request: Request) -> Response:
        """A page of Stripe's on which a balance is topped up."""
        body = self.read_body(TopUp)
        tenant = self.tenant(body["tenant"])
        return self.page(
            stripe_customers.open_topup(
                tenant,
                body["amount_micros"],
                saves_card=body["save_card"],
                return_url=url_of(body),
                actor=self.actor,
            )
        )


class Portal(StripeView):
    capabilities = {"POST": Capability.BILLING_WRITE}
    audits = {"POST": ("stripe_customer.created",)}

    @extend_schema(operation_id="open_portal", request=Goes, responses={201: PageOut})
    def post(self, request: Request) -> Response:
        """A page of Stripe's on which cards, subscriptions and receipts are seen to."""
        body = self.read_body(Goes)
        tenant = self.tenant(body["tenant"])
        return self.page(stripe_customers.open_portal(tenant, return_url=url_of(body), actor=self.actor))


class Subscription(StripeView):
    capabilities = {
        "GET": Capability.BILLING_READ,
        "POST": Capability.BILLING_WRITE,
        "DELETE": Capability.BILLING_WRITE,
    }
    audits = {"POST": "checkout.opened", "DELETE": "subscription.ended"}

    @extend_schema(
        operation_id="list_subscriptions", parameters=[TenantQuery], responses=SubscriptionOut(many=True)
    )
    def get(self, request: Request) -> Response:
        tenant = self.tenant(self.read_query(TenantQuery)["tenant"])
        with tenant_tx(tenant.id):
            rows = StripeSubscription.objects.select_related("plan").order_by("-created_at")[:100]
            return list_response([dict(SubscriptionOut(row).data) for row in rows])

    @extend_schema(operation_id="open_subscription", request=NewSubscription, responses={201: PageOut})
    def post(self, request: Request) -> Response:
        """A page of Stripe's on which a plan is subscribed to. The tenant is on it once it is paid."""
        body = self.read_body(NewSubscription)
        tenant = self.tenant(body["tenant"])
        plan = Plan.objects.filter(slug=body["plan"]).first()
        if plan is None:
            raise ValidationError({"plan": ["There is no such plan."]})
        return self.page(
            stripe_customers.open_subscription(tenant, plan, return_url=url_of(body), actor=self.actor)
        )

    @extend_schema(operation_id="end_subscription", parameters=[Of], responses=SubscriptionOut)
    def delete(self, request: Request) -> Response:
        """When what is paid for is over."""
        tenant = self.tenant(self.read_query(Of)["tenant"])
        require_stripe()
        with tenant_tx(tenant.id):
            found = (
                StripeSubscription.objects.select_related("plan")
                .exclude(status__in=stripe_customers.OVER)
                .first()
            )
        if found is None:
            raise NotFound("There is no subscription.")
        stripe_customers.end_subscription(found, actor=self.actor)
        return Response(SubscriptionOut(found).data, status.HTTP_202_ACCEPTED)


class Cards(StripeView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(operation_id="list_cards", parameters=[TenantQuery], responses=CardOut(many=True))
    def get(self, request: Request) -> Response:
        """As Stripe has them: brand, last four digits, and when they expire. We keep none."""
        tenant = self.tenant(self.read_query(TenantQuery)["tenant"])
        require_stripe()
        with tenant_tx(tenant.id):
            customer = StripeCustomer.objects.filter(tenant_id=tenant.id).first()
        cards = gateway.list_cards(customer.customer_id) if customer else []
        return list_response(
            [
                {"object": "card", "brand": card.brand, "last4": card.last4, "expires": card.expires}
                for card in cards
            ]
        )


class OnePayment(StripeView):
    capabilities = {"GET": Capability.BILLING_READ}

    @extend_schema(operation_id="get_payment", responses=PaymentOut)
    def get(self, request: Request, payment: UUID) -> Response:
        return Response(PaymentOut(self.found(payment)).data)


class Refunds(StripeView):
    capabilities = {"GET": Capability.BILLING_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "payment.refunded"}

    @extend_schema(operation_id="list_reversals", responses=ReversalOut(many=True))
    def get(self, request: Request, payment: UUID) -> Response:
        """Refunds and disputes of a payment."""
        found = self.found(payment)
        with tenant_tx(found.tenant_id):
            rows = Reversal.objects.filter(payment=found)[:100]
            return list_response([dict(ReversalOut(row).data) for row in rows])

    @extend_schema(operation_id="refund_payment", request=RefundBody, responses={201: ReversalOut})
    def post(self, request: Request, payment: UUID) -> Response:
        """What is still in the balance, back to the card; of other payments it is noted that it was done."""
        body = self.read_body(RefundBody)
        found = self.found(payment)
        if found.method == "stripe":
            require_stripe()
        reversal = reversals.refund_payment(
            found, body.get("amount_micros"), reason=body["reason"], actor=self.actor
        )
        return Response(ReversalOut(reversal).data, status.HTTP_201_CREATED)


class CloseDispute(StripeView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "dispute.closed"}

    @extend_schema(operation_id="close_dispute", request=None, responses=ReversalOut)
    def post(self, request: Request, reversal: UUID) -> Response:
        """One that was lost restricts the account no more."""
        with colony_tx("a dispute"):
            found = Reversal.objects.filter(id=reversal).first()
        if found is None:
            raise NotFound("There is no such dispute.")
        return Response(ReversalOut(reversals.close_dispute(found, actor=self.actor)).data)


class AutoRecharging(StripeView):
    capabilities = {"GET": Capability.BILLING_READ, "PUT": Capability.BILLING_WRITE}
    audits = {"PUT": "auto_recharge.changed"}

    @extend_schema(operation_id="get_auto_recharge", parameters=[Of], responses=AutoRechargeOut)
    def get(self, request: Request) -> Response:
        tenant = self.tenant(self.read_query(Of)["tenant"])
        with tenant_tx(tenant.id):
            return shown(tenant, AutoRecharge.objects.filter(tenant_id=tenant.id).first())

    @extend_schema(operation_id="set_auto_recharge", request=AutoRechargeBody, responses=AutoRechargeOut)
    def put(self, request: Request) -> Response:
        """What is left out stays. Takes it out of a pause."""
        body = self.read_body(AutoRechargeBody)
        tenant = self.tenant(body.pop("tenant"))
        require_stripe()
        with tenant_tx(tenant.id):
            currency = find_account(tenant.id).currency
        return shown(
            tenant, auto_recharge.set_auto_recharge(tenant.id, body, currency=currency, actor=self.actor)
        )


def shown(tenant: Tenant, recharge: AutoRecharge | None) -> Response:
    return Response({
        "object": "auto_recharge",
        "tenant": tenant.slug,
        "on": recharge is not None and recharge.is_on,
        "threshold_micros": recharge.threshold_micros if recharge else None,
        "amount_micros": recharge.amount_micros if recharge else None,
        "month_max_micros": recharge.month_max_micros if recharge else None,
        "is_charging": recharge is not None and recharge.is_charging,
        "paused_for": recharge.paused_for if recharge else "",
    })  # fmt: skip


def url_of(body: dict[str, Any]) -> str:
    return str(body["return_url"] or settings.RBEE.public_url)


def require_stripe() -> None:
    if not gateway.is_set_up():
        raise StripeNotSetUp
