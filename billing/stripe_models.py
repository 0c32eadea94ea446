"""What is kept of Stripe: who is who there, what it told, what it is to be asked. Stripe is a mirror: nothing here is money;
that is in the ledger."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from billing.enums import EventState, ReversalKind, ReversalState, SendState
from billing.models import Payment
from gdpr.activities import UNNAMED
from gdpr.holding import Held, clear
from gdpr.ids import uuid7
from gdpr.scope import TenantManager
from tenants.models import Plan, Tenant


class StripeCustomer(models.Model):
    """A tenant at Stripe. `seller`: the tenant whose GPUs it pays for, on a platform that others sell on."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True)
    customer_id = models.CharField(max_length=100, unique=True)
    payment_method_id = models.CharField(max_length=100, blank=True)  # saved for later; empty: none
    seller = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["StripeCustomer"]()

    class Privacy:
        held = Held("billing", "with the tenant", tenant="tenant")
        none = ("created_at",)
        pseudonym = ("tenant", "customer_id", "payment_method_id", "seller")

    def __str__(self) -> str:
        return self.customer_id


class ConnectedAccount(models.Model):
    """Of a tenant that sells its GPUs through this platform."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True)
    account_id = models.CharField(max_length=100, unique=True)
    fee_basis_points = models.PositiveIntegerField(null=True)  # the platform's share; null: the setting's
    may_charge = models.BooleanField(default=False)  # Stripe knows all that it wants to know
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["ConnectedAccount"]()

    class Privacy:
        held = Held("billing", "with the tenant", tenant="tenant")
        none = ("fee_basis_points", "may_charge", "created_at")
        pseudonym = ("tenant", "account_id")

    def __str__(self) -> str:
        return self.account_id


class StripePlan(models.Model):
    """Which price at Stripe a plan is sold by."""

    plan = models.OneToOneField(Plan, on_delete=models.CASCADE, primary_key=True)
    price_id = models.CharField(max_length=100)

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("plan", "price_id")

    def __str__(self) -> str:
        return self.price_id


class StripeSubscription(models.Model):
    """As Stripe last said it was."""

    subscription_id = models.CharField(max_length=100, primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True)  # null: its price is no plan's
    status = models.CharField(max_length=30)  # Stripe's word: active, past_due, canceled …
    period_ends_at = models.DateTimeField(null=True)
    ends_at_period = models.BooleanField(default=False)
    past_due_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["StripeSubscription"]()

    class Privacy:
        held = Held("billing", "with the tenant", tenant="tenant")
        none = ("plan", "status", "period_ends_at", "ends_at_period", "past_due_since", "created_at")
        pseudonym = ("subscription_id", "tenant")

    def __str__(self) -> str:
        return self.subscription_id


class StripeEvent(models.Model):
    """That something happened at Stripe. What it was is asked when it is applied: an event may come late, twice, or after
    those that followed it. One event of a `subject` at a time is applied."""

    event_id = models.CharField(max_length=100, primary_key=True)
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=100)
    subject = models.CharField(max_length=100)  # the payment, subscription or account that the object is of
    state = models.CharField(max_length=10, choices=EventState, default=EventState.RECEIVED)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()  # at Stripe
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_at"], condition=models.Q(state="received"), name="billing_stripeevent_due"
            ),  # the chore that applies
            models.Index(
                fields=["subject"], condition=models.Q(state="received"), name="billing_stripeevent_sub"
            ),
        ]

    class Privacy:
        held = Held("billing", "90 days after received_at", applied_by="billing.fill_stripe_gaps")
        none = ("type", "state", "attempts", "next_at", "lease_until", "error", "created_at", "received_at")
        pseudonym = ("event_id", "object_id", "subject")

    def __str__(self) -> str:
        return self.event_id


class StripeCursor(models.Model):
    """Up to when Stripe's list of events was read."""

    name = models.CharField(max_length=20, primary_key=True)
    read_until = models.DateTimeField()
    read_at = models.DateTimeField(default=timezone.now)

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("name", "read_until", "read_at")

    def __str__(self) -> str:
        return self.name


class StripeRequest(models.Model):
    """The outbox: what Stripe is to be asked, once. `key` is its idempotency key there, made of what it is about."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    key = models.CharField(max_length=200, unique=True)
    operation = models.CharField(max_length=20)  # of `billing.domain.stripe_operations`
    body = models.JSONField()
    state = models.CharField(max_length=10, choices=SendState, default=SendState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    first_sent_at = models.DateTimeField(null=True)  # null: Stripe cannot know of it
    answer_id = models.CharField(max_length=100, blank=True)
    error = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = TenantManager["StripeRequest"]()

    class Meta:
        indexes = [
            models.Index(
                fields=["next_at"], condition=models.Q(state="pending"), name="billing_striperequest_due"
            )  # the chore that sends
        ]

    class Privacy:
        held = Held("billing", "with the tenant", tenant="tenant", export=False)
        none = (
            "operation",
            "state",
            "attempts",
            "next_at",
            "first_sent_at",
            "error",
            "created_at",
            "ended_at",
        )
        pseudonym = ("id", "tenant", "key", "body", "answer_id")

    def __str__(self) -> str:
        return self.key


class Reversal(models.Model):
    """A payment, or a part of it, that goes back to who paid. `amount_micros` is all of it; `tax_micros` of that is the
    state's; `lost_micros` the tenant had no more, so it is the operator's loss."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT)
    kind = models.CharField(max_length=10, choices=ReversalKind)
    state = models.CharField(max_length=10, choices=ReversalState, default=ReversalState.PENDING)
    reference = models.CharField(max_length=100, unique=True, null=True)  # Stripe's; null: not answered yet  # noqa: DJ001
    amount_micros = models.BigIntegerField()
    tax_micros = models.BigIntegerField(default=0)
    lost_micros = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200, blank=True)
    is_closed = models.BooleanField(
        default=False
    )  # a lost dispute restricts the account until the operator says so
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["Reversal"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    amount_micros__gt=0,
                    tax_micros__gte=0,
                    lost_micros__gte=0,
                    amount_micros__gte=models.F("tax_micros") + models.F("lost_micros"),
                ),
                name="billing_reversal_amounts",
            )
        ]

    class Privacy:
        held = Held("books", "with the tenant", tenant="tenant", on_tenant=clear("reason", law=UNNAMED))
        none = (
            "kind",
            "state",
            "amount_micros",
            "tax_micros",
            "lost_micros",
            "currency",
            "is_closed",
            "created_at",
        )
        pseudonym = ("id", "tenant", "payment", "reference")
        personal = ("reason",)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class AutoRecharge(models.Model):
    """Charges the saved card when a balance runs low. `number` counts the charges: with the tenant it is their key, so
    none is made twice; `is_charging` keeps a second one from beginning."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True)
    is_on = models.BooleanField(default=True)
    threshold_micros = models.BigIntegerField()
    amount_micros = models.BigIntegerField()
    month_max_micros = models.BigIntegerField()
    number = models.PositiveIntegerField(default=0)
    is_charging = models.BooleanField(default=False)
    paused_for = models.CharField(max_length=50, blank=True)  # Stripe's code; empty: it is not paused
    changed_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["AutoRecharge"]()

    class Privacy:
        held = Held("billing", "with the tenant", tenant="tenant")
        none = ("is_on", "threshold_micros", "amount_micros", "month_max_micros", "number", "is_charging", "paused_for",
                "changed_at")  # fmt: skip
        pseudonym = ("tenant",)

    def __str__(self) -> str:
        return str(self.tenant_id)


class StripeMeter(models.Model):
    """Usage that is told to a Billing Meter: the quantities of `units` together. Kept by the operator."""

    event_name = models.CharField(max_length=100, primary_key=True)
    meter_id = models.CharField(max_length=100)
    units = models.JSONField()  # names of units of usage
    reported_until = models.DateTimeField(default=timezone.now)  # of settlement

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("event_name", "meter_id", "units", "reported_until")

    def __str__(self) -> str:
        return self.event_name
