from __future__ import annotations

from django.db import models
from django.utils import timezone

from billing.enums import (
    AccountState,
    BillingMode,
    InvoiceKind,
    InvoiceStatus,
    PaymentMethod,
    PaymentStatus,
    SliceState,
    TaxCategory,
    TransferKind,
)
from gdpr.activities import TAX, UNNAMED
from gdpr.holding import KEEP_BOOKS, KEEP_UNNAMED, Held, by_email, clear
from gdpr.ids import uuid7
from gdpr.models import AppendOnly
from gdpr.scope import TenantManager
from tenants.models import ApiKey, Plan, Project, Tenant

FORGET_BOOKS = "billing.forget_books"  # the chore


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
        held = Held("operations", "with the colony")
        none = ("id", "slug", "name", "currency", "plan", "created_at")

    def __str__(self) -> str:
        return self.slug


class Price(AppendOnly):
    """What a model costs from `valid_from` on, until a later version. Never changed: usage events refer to it.

    `prices`: unit of usage to micro-units of the currency for `billing.domain.units.per` of it. `is_free` says that a
    price of nothing is meant.
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
        held = Held("operations", "with the colony")
        none = ("id", "card", "model", "version", "currency", "prices", "is_free", "valid_from", "created_at")

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


class PriceTerms(AppendOnly):
    """What the tenants of a card owe for a month beside their tasks, from `valid_from` on: `billing.domain.rating.Terms`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    card = models.ForeignKey(PriceCard, on_delete=models.PROTECT)
    version = models.PositiveIntegerField()
    terms = models.JSONField()
    valid_from = models.DateField()  # the first of a month
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["card", "version"], name="billing_priceterms_version")]

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("id", "card", "version", "terms", "valid_from", "created_at")

    def __str__(self) -> str:
        return f"{self.card_id} version {self.version}"


class PriceWithdrawal(AppendOnly):
    """A version of prices or of terms that was taken back before it began."""

    version_id = models.UUIDField(primary_key=True)
    withdrawn_at = models.DateTimeField(default=timezone.now)

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("version_id", "withdrawn_at")

    def __str__(self) -> str:
        return str(self.version_id)


class TenantDiscount(AppendOnly):
    """In place of its card's, from `valid_from` on; null: the card's again. Given by the operator."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    discount_bp = models.PositiveIntegerField(null=True)  # hundredths of a percent
    reason = models.CharField(max_length=200)
    valid_from = models.DateField()  # the first of a month
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["TenantDiscount"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(discount_bp=None) | models.Q(discount_bp__lte=10_000),
                name="billing_tenantdiscount_bp",
            )
        ]

    class Privacy:
        held = Held("books", "with the tenant", tenant="tenant", on_tenant=KEEP_UNNAMED)
        none = ("discount_bp", "valid_from", "created_at")
        pseudonym = ("id", "tenant")
        content = ("reason",)

    def __str__(self) -> str:
        return str(self.id)


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
    receipt_erased = models.BooleanField(default=False, db_default=False)  # both went with its end user

    objects = TenantManager["UsageEvent"]()

    class Meta:
        ordering = ["-task_id"]

    class Privacy:
        held = Held(
            "books",
            "10 calendar years after settled_at",
            tenant="tenant",
            subject="subject",
            on_tenant=KEEP_BOOKS,
            on_subject=clear("subject", "receipt", "signature", law=TAX),
            applied_by=FORGET_BOOKS,
        )
        none = ("month", "price", "attempt", "endpoint", "model", "hive_id", "worker", "region", "outcome", "usage",
                "amount_micros", "currency", "decision", "admitted_at", "began_at", "first_token_at", "ended_at",
                "settled_at", "receipt_erased")  # fmt: skip
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
        held = Held("books", "with the tenant", tenant="tenant", on_tenant=KEEP_UNNAMED)
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
        held = Held(
            "billing", "7 days after set_at", tenant="tenant", export=False, applied_by="billing.sweep_fences"
        )
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
    vat_is_valid = models.BooleanField(null=True)  # what VIES said then; null: nobody asked it
    invoice_threshold_micros = models.BigIntegerField(null=True)  # an interim invoice from so much on
    email = models.EmailField(blank=True)  # where invoices go; empty: to the owner
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager["BillingAccount"]()

    class Privacy:
        held = Held(
            "billing",
            "with the tenant",
            tenant="tenant",
            person=by_email("email"),
            on_person=clear("email"),
        )
        none = ("mode", "state", "state_since", "currency", "credit_limit_micros", "country", "vat_checked_at",
                "vat_is_valid", "invoice_threshold_micros", "created_at")  # fmt: skip
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
        held = Held("books", "with the tenant", tenant="tenant", on_tenant=KEEP_UNNAMED)
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
    tax_country = models.CharField(max_length=2, blank=True)  # to whom the tax is owed
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
        held = Held("books", "with the tenant", tenant="tenant", on_tenant=clear("note", law=UNNAMED))
        none = ("method", "status", "amount_micros", "tax_micros", "tax_country", "refunded_micros", "currency",
                "created_at", "paid_at")  # fmt: skip
        pseudonym = ("id", "tenant", "reference")
        personal = ("note",)

    def __str__(self) -> str:
        return f"{self.method} {self.reference}"


class Seller(models.Model):
    """Whom invoices come from: the operator, in its one row. `billing.domain.sellers` says what may not be missing."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    legal_name = models.CharField(max_length=200, blank=True)
    address = models.TextField(max_length=500, blank=True)
    country = models.CharField(max_length=2, blank=True)  # ISO 3166-1
    vat_id = models.CharField(max_length=20, blank=True)
    registration_number = models.CharField(max_length=100, blank=True)  # with its register, as the law has it
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    email = models.EmailField(blank=True)
    series_prefix = models.CharField(max_length=10, default="INV")
    payment_term_days = models.PositiveSmallIntegerField(default=14)
    tax_rates = models.JSONField(default=dict)  # country to basis points, where it is not what rbee ships
    charges_oss = models.BooleanField(default=False)  # consumers elsewhere in the EU pay their country's rate
    exemption = models.CharField(max_length=200, blank=True)  # why no tax is charged, in the words of the law
    checks_vat_ids = models.BooleanField(default=False)  # asks VIES

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="billing_seller_one")]

    class Privacy:
        held = Held("operations", "with the colony", of_operator=True)
        none = ("id", "country", "series_prefix", "payment_term_days", "tax_rates", "charges_oss", "exemption",
                "checks_vat_ids")  # fmt: skip
        personal = ("legal_name", "address", "vat_id", "registration_number", "iban", "bic", "email")

    def __str__(self) -> str:
        return self.legal_name


class NumberSeries(models.Model):
    """The last number that was given. Its row is locked until the invoice of that number is there, so none is left out."""

    name = models.CharField(max_length=40, primary_key=True)
    last_number = models.PositiveIntegerField(default=0)

    class Privacy:
        held = Held("books", "with the colony")
        none = ("name", "last_number")

    def __str__(self) -> str:
        return f"{self.name} {self.last_number}"


class Invoice(models.Model):
    """What was issued. A trigger refuses to change it, but for how it is paid and sent, and to delete it: it is kept for
    ten years, whatever becomes of its tenant. Seller and buyer stand in it as they were."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    kind = models.CharField(max_length=12, choices=InvoiceKind)
    status = models.CharField(max_length=13, choices=InvoiceStatus)
    series = models.CharField(max_length=40)
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=50, unique=True)
    currency = models.CharField(max_length=3)
    first_day = models.DateField(null=True)  # of the period; none for receipts and credit notes
    next_day = models.DateField(null=True)  # the day after it
    is_final = models.BooleanField(default=False)  # closes its period
    seller = models.JSONField()
    buyer = models.JSONField()
    net_minor = models.BigIntegerField()  # negative on a credit note
    tax_minor = models.BigIntegerField()
    gross_minor = models.BigIntegerField()
    asked_micros = models.BigIntegerField()  # of the tenant's balance
    rating_micros = models.BigIntegerField(
        default=0
    )  # what was booked beside the tasks, to undo it when void
    rounding_micros = models.BigIntegerField(default=0)
    tax_category = models.CharField(max_length=14, choices=TaxCategory)
    tax_rate_bp = models.PositiveIntegerField()  # 2100 is 21 percent
    tax_country = models.CharField(max_length=2, blank=True)  # to whom it is owed
    tax_note = models.TextField(blank=True)
    covers = models.JSONField(default=list)  # of each month: tasks, and what was booked for them
    credits = models.ForeignKey("self", on_delete=models.DO_NOTHING, null=True, db_constraint=False)
    payment = models.ForeignKey(Payment, on_delete=models.DO_NOTHING, null=True, db_constraint=False)
    reason = models.CharField(max_length=200, blank=True)
    issued_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    credited_minor = models.BigIntegerField(default=0)  # by credit notes, not below zero
    paid_micros = models.BigIntegerField(default=0)
    paid_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    mail_after = models.DateTimeField(default=timezone.now)

    objects = TenantManager["Invoice"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["series", "sequence"], name="billing_invoice_sequence"),
            models.UniqueConstraint(
                fields=["tenant", "currency", "first_day"],
                condition=models.Q(is_final=True) & ~models.Q(status=InvoiceStatus.VOID),
                name="billing_invoice_period",
            ),
            models.UniqueConstraint(
                fields=["payment"],
                condition=models.Q(kind=InvoiceKind.RECEIPT),
                name="billing_invoice_receipt",
            ),
            models.CheckConstraint(
                condition=models.Q(gross_minor=models.F("net_minor") + models.F("tax_minor")),
                name="billing_invoice_gross",
            ),
        ]

    class Privacy:
        held = Held(
            "books",
            "10 calendar years after issued_at",
            tenant="tenant",
            on_tenant=KEEP_BOOKS,
            applied_by=FORGET_BOOKS,
        )
        none = ("kind", "status", "series", "sequence", "currency", "first_day", "next_day", "is_final", "net_minor",
                "tax_minor", "gross_minor", "asked_micros", "rating_micros", "rounding_micros", "tax_category",
                "tax_rate_bp", "tax_country", "tax_note", "covers", "issued_at", "due_at", "credited_minor",
                "paid_micros", "paid_at", "mailed_at", "mail_after")  # fmt: skip
        pseudonym = ("id", "tenant", "number", "credits", "payment")
        personal = ("seller", "buyer")
        content = ("reason",)

    def __str__(self) -> str:
        return self.number


class InvoiceLine(AppendOnly):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    invoice = models.ForeignKey(
        Invoice, on_delete=models.DO_NOTHING, db_constraint=False, related_name="lines"
    )
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20)
    month = models.DateField(null=True)  # in which it was used
    project_id = models.UUIDField(null=True)
    description = models.TextField()
    model = models.TextField(blank=True)
    unit = models.TextField(blank=True)
    quantity = models.BigIntegerField(default=0)
    price_micros = models.BigIntegerField(default=0)  # for `per` of the unit
    per = models.PositiveIntegerField(default=1)
    amount_picos = models.DecimalField(max_digits=38, decimal_places=0)  # 1e-12 of the currency, exact
    amount_minor = models.BigIntegerField()

    objects = TenantManager["InvoiceLine"]()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="billing_invoiceline_position")
        ]

    class Privacy:
        held = Held(
            "books", "with its invoice", tenant="tenant", on_tenant=KEEP_BOOKS, applied_by=FORGET_BOOKS
        )
        none = ("position", "kind", "month", "model", "unit", "quantity", "price_micros", "per", "amount_picos",
                "amount_minor")  # fmt: skip
        pseudonym = ("id", "tenant", "invoice", "project_id")
        content = ("description",)

    def __str__(self) -> str:
        return self.description


class BudgetSlice(models.Model):
    """What of a tenant's balance lies in one life of Redis, for its tasks to be admitted by. Written by
    `billing.domain.slices`, and `settled_micros` by settlement.

    `granted - returned - settled` is what it still holds: never below zero, and all of them together are what the tenant
    has reserved."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    currency = models.CharField(max_length=3)
    epoch = models.CharField(max_length=60)  # of the Redis that has it
    state = models.CharField(max_length=8, choices=SliceState, default=SliceState.OPEN)
    granted_micros = models.BigIntegerField(default=0)
    returned_micros = models.BigIntegerField(default=0)
    settled_micros = models.BigIntegerField(default=0)
    opened_at = models.DateTimeField(default=timezone.now)
    lost_until = models.DateTimeField(null=True)  # when it is closed whoever has not been heard of

    objects = TenantManager["BudgetSlice"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "currency"],
                condition=models.Q(state="open"),
                name="billing_budgetslice_open",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    settled_micros__gte=0,
                    returned_micros__gte=0,
                    granted_micros__gte=models.F("returned_micros") + models.F("settled_micros"),
                ),
                name="billing_budgetslice_amounts",
            ),
        ]

    class Privacy:
        held = Held("books", "with the tenant", tenant="tenant", on_tenant=KEEP_UNNAMED)
        none = ("currency", "epoch", "state", "granted_micros", "returned_micros", "settled_micros", "opened_at",
                "lost_until")  # fmt: skip
        pseudonym = ("id", "tenant")

    def __str__(self) -> str:
        return str(self.id)

    @property
    def held_micros(self) -> int:
        return self.granted_micros - self.returned_micros - self.settled_micros


# Django finds models by this module, and these need those above.
from billing import cost_models as cost_models  # noqa: E402, PLC0414
from billing import reconciliation_models as reconciliation_models  # noqa: E402, PLC0414
from billing import stripe_models as stripe_models  # noqa: E402, PLC0414
