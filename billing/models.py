from __future__ import annotations

from django.db import models
from django.utils import timezone

from billing import cost_models as cost_models  # noqa: PLC0414 -- Django finds models by this module
from billing import reconciliation_models as reconciliation_models  # noqa: PLC0414
from billing.enums import AccountState, BillingMode, PaymentMethod, PaymentStatus, TransferKind
from gdpr.ids import uuid7
from gdpr.models import AppendOnly
from gdpr.scope import TenantManager
from tenants.models import ApiKey, Plan, Project, Tenant


class PriceCard(models.Model):
    """A list of prices in one currency, for the tenants of one plan, or for all when `plan` is null."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=3)  # ISO 4217
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan"], nulls_distinct=False, name="billing_pricecard_plan")
        ]

    class Privacy:
        none = ("id", "slug", "name", "currency", "plan", "created_at")

    def __str__(self) -> str:
        return self.slug


class Price(AppendOnly):
    """What a model costs from `valid_from` on, until a later version. Never changed: usage events refer to it.

    `prices`: unit of usage to micro-units of the currency for a million of it. `is_free` says that a price of nothing
    is meant.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    card = models.ForeignKey(PriceCard, on_delete=models.PROTECT)
    model = models.CharField(max_length=200)  # name of a model, or * for those without a price of their own
    version = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    prices = models.JSONField()
    is_free = models.BooleanField(default=False)
    valid_from = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["card", "model", "version"], name="billing_price_version")
        ]

    class Privacy:
        none = ("id", "card", "model", "version", "currency", "prices", "is_free", "valid_from", "created_at")

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


class UsageEvent(AppendOnly):
    """One settled task, written by `billing.domain.settlement.settle` only."""

    pk = models.CompositePrimaryKey("month", "task_id")
    month = models.DateField()  # of `task_id`: the partition
    task_id = models.UUIDField()
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    key = models.ForeignKey(
        ApiKey, on_delete=models.DO_NOTHING, db_constraint=False, null=True
    )  # null: keyless
    price = models.ForeignKey(Price, on_delete=models.DO_NOTHING, db_constraint=False)
    attempt = models.SmallIntegerField()
    request_id = models.TextField()
    subject = models.TextField()  # pseudonym of the tenant's end user, or empty
    endpoint = models.TextField()
    model = models.TextField()
    hive_id = models.UUIDField(null=True)
    worker = models.TextField()
    region = models.TextField()
    outcome = models.TextField()
    usage = models.JSONField()  # unit to quantity, integers, as the hive's engine counted
    amount_micros = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    decision = models.JSONField()  # script versions, candidates, choice
    admitted_at = models.DateTimeField()
    began_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField()
    receipt = models.BinaryField()  # the bytes that the hive signed; empty when it never reported
    signature = models.BinaryField()

    objects = TenantManager["UsageEvent"]()

    class Meta:
        ordering = ["-task_id"]

    class Privacy:
        none = ("month", "price", "attempt", "endpoint", "model", "hive_id", "worker", "region", "outcome", "usage",
                "amount_micros", "currency", "decision", "admitted_at", "began_at", "first_token_at", "ended_at",
                "settled_at")  # fmt: skip
        pseudonym = ("task_id", "tenant", "project", "key", "request_id", "subject", "receipt", "signature")

    def __str__(self) -> str:
        return str(self.task_id)


class LedgerTransfer(AppendOnly):
    """`amount_micros` from one account to another: balanced by its shape. Of kind `task`, `id` is the task's, so its
    primary key keeps a second one out. Transfers that belong together share `transaction_id`."""

    pk = models.CompositePrimaryKey("month", "id")
    month = models.DateField()  # of `id`: the partition
    id = models.UUIDField(default=uuid7)
    transaction_id = models.UUIDField()
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    kind = models.TextField(choices=TransferKind)
    debit_account = models.TextField()
    credit_account = models.TextField()
    amount_micros = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    booked_at = models.DateTimeField()

    objects = TenantManager["LedgerTransfer"]()

    class Meta:
        ordering = ["-id"]

    class Privacy:
        none = ("month", "kind", "amount_micros", "currency", "booked_at")
        pseudonym = ("id", "transaction_id", "tenant", "debit_account", "credit_account")

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class AttemptFence(models.Model):
    """Attempts of a task below `lowest_valid_attempt` settle no more. Written by `billing.domain.fence`."""

    task_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    lowest_valid_attempt = models.SmallIntegerField()
    set_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["AttemptFence"]()

    class Privacy:
        none = ("lowest_valid_attempt", "set_at")
        pseudonym = ("task_id", "tenant")

    def __str__(self) -> str:
        return str(self.task_id)


class BillingAccount(models.Model):
    """How a tenant pays, and what an invoice says of it. What it has is in `Balance`, one for each currency."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True)
    mode = models.CharField(max_length=10, choices=BillingMode)
    state = models.CharField(max_length=12, choices=AccountState, default=AccountState.ACTIVE)
    state_since = models.DateTimeField(default=timezone.now)
    currency = models.CharField(max_length=3)  # of invoices and payments
    credit_limit_micros = models.BigIntegerField(null=True)  # prepaid: 0; null: none
    legal_name = models.CharField(max_length=200, blank=True)
    address = models.TextField(max_length=500, blank=True)
    country = models.CharField(max_length=2, blank=True)  # ISO 3166-1
    vat_id = models.CharField(max_length=20, blank=True)
    vat_checked_at = models.DateTimeField(null=True)
    email = models.EmailField(blank=True)  # where invoices go; empty: to the owner
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["BillingAccount"]()

    class Privacy:
        none = ("mode", "state", "state_since", "currency", "credit_limit_micros", "country", "vat_checked_at",
                "created_at")  # fmt: skip
        pseudonym = ("tenant",)
        personal = ("legal_name", "address", "vat_id", "email")

    def __str__(self) -> str:
        return str(self.tenant_id)


class Balance(models.Model):
    """What the ledger comes to for a tenant in one currency: kept by a trigger on the ledger, by nobody else.

    `balance_micros` may not fall below `floor_micros`, which is null where there is no such limit. The database sees to
    it, whoever books."""

    pk = models.CompositePrimaryKey("tenant_id", "currency")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    currency = models.CharField(max_length=3)
    balance_micros = models.BigIntegerField(default=0)  # of the account tenant:ID; negative: it owes
    reserved_micros = models.BigIntegerField(default=0)  # of reserved:ID: in budget slices
    floor_micros = models.BigIntegerField(null=True)

    objects = TenantManager["Balance"]()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(floor_micros=None)
                | models.Q(balance_micros__gte=models.F("floor_micros")),
                name="billing_balance_floor",
            ),
            models.CheckConstraint(
                condition=models.Q(reserved_micros__gte=0), name="billing_balance_reserved"
            ),
        ]

    class Privacy:
        none = ("currency", "balance_micros", "reserved_micros", "floor_micros")
        pseudonym = ("tenant",)

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.currency}"


class Payment(models.Model):
    """Money that came from a tenant, or is to come. `amount_micros` is what was paid, of which `tax_micros` is not the
    tenant's. Written by `billing.domain.payments` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    method = models.CharField(max_length=10, choices=PaymentMethod)
    status = models.CharField(max_length=10, choices=PaymentStatus, default=PaymentStatus.PENDING)
    amount_micros = models.BigIntegerField()
    tax_micros = models.BigIntegerField(default=0)
    refunded_micros = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    # The payer's or Stripe's own; the same one twice is one payment.
    reference = models.CharField(max_length=200)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    paid_at = models.DateTimeField(null=True)

    objects = TenantManager["Payment"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["method", "reference"], name="billing_payment_reference"),
            models.CheckConstraint(
                condition=models.Q(
                    amount_micros__gt=0,
                    tax_micros__gte=0,
                    tax_micros__lt=models.F("amount_micros"),
                    refunded_micros__gte=0,
                    refunded_micros__lte=models.F("amount_micros"),
                ),
                name="billing_payment_amounts",
            ),
        ]

    class Privacy:
        none = ("method", "status", "amount_micros", "tax_micros", "refunded_micros", "currency", "created_at",
                "paid_at")  # fmt: skip
        pseudonym = ("id", "tenant", "reference")
        personal = ("note",)

    def __str__(self) -> str:
        return f"{self.method} {self.reference}"
