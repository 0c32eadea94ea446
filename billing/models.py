from __future__ import annotations

from django.db import models
from django.utils import timezone

from billing.enums import TransferKind
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
