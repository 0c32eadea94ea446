"""Fields of the endpoints of money. Amounts are integers: of micro-units, or of the currency's smallest coin."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.domain.invoice_text import price_of
from billing.domain.money import minor_text
from billing.domain.sellers import FIELDS as SELLER_FIELDS
from billing.enums import BillingMode, InvoiceKind, InvoiceStatus, PaymentMethod
from billing.models import Balance, BillingAccount, Invoice, InvoiceLine, Payment, Seller
from tenants.api.base import PageQuery

MICROS_MAX = 10**15
MINOR_MAX = 10**13


class Money(serializers.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"min_value": 1, "max_value": MICROS_MAX, **options})


class OfTenant(serializers.Serializer[Any]):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator: of this tenant")


class AccountBalanceOut(serializers.Serializer[Any]):
    currency = serializers.CharField()
    balance_micros = serializers.IntegerField(help_text="Negative: it owes")
    reserved_micros = serializers.IntegerField(help_text="Held for tasks, beside the balance")


class BillingAccountOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="billing_account")
    tenant = serializers.CharField()
    mode = serializers.ChoiceField(BillingMode.choices)
    state = serializers.CharField()
    state_since = serializers.DateTimeField()
    currency = serializers.CharField()
    credit_limit_micros = serializers.IntegerField(allow_null=True)
    invoice_threshold_micros = serializers.IntegerField(allow_null=True)
    legal_name = serializers.CharField()
    address = serializers.CharField()
    country = serializers.CharField()
    vat_id = serializers.CharField()
    vat_is_valid = serializers.BooleanField(
        allow_null=True, help_text="What VIES said; null: it was not asked"
    )
    vat_checked_at = serializers.DateTimeField(allow_null=True)
    email = serializers.CharField()
    balances = AccountBalanceOut(many=True)


def account_row(account: BillingAccount, slug: str, balances: list[Balance]) -> dict[str, Any]:
    names = set(map(str, BillingAccountOut().fields)) - {"object", "tenant", "balances"}
    return {
        "object": "billing_account",
        "tenant": slug,
        **{name: getattr(account, name) for name in names},
        "balances": [dict(AccountBalanceOut(balance).data) for balance in balances],
    }


class BillingAccountChange(serializers.Serializer[Any]):
    """What an invoice says of a tenant is the tenant's to change; mode, currency, limit and threshold are the operator's."""

    legal_name = serializers.CharField(max_length=200, allow_blank=True, required=False)
    address = serializers.CharField(max_length=500, allow_blank=True, required=False, help_text="In lines")
    country = serializers.CharField(
        max_length=2, allow_blank=True, required=False, help_text="ISO 3166, like NL"
    )
    vat_id = serializers.CharField(max_length=20, allow_blank=True, required=False)
    email = serializers.EmailField(
        allow_blank=True, required=False, help_text="Where invoices go; else to the owner"
    )
    mode = serializers.ChoiceField(BillingMode.choices, required=False)
    currency = serializers.CharField(max_length=3, required=False)
    credit_limit_micros = Money(min_value=0, allow_null=True, required=False)
    invoice_threshold_micros = Money(
        allow_null=True, required=False, help_text="An interim invoice from so much on"
    )


class SellerOut(serializers.ModelSerializer[Seller]):
    object = serializers.CharField(default="seller", read_only=True)

    class Meta:
        model = Seller
        fields = ["object", *sorted(SELLER_FIELDS)]


class SellerChange(serializers.Serializer[Any]):
    legal_name = serializers.CharField(max_length=200, allow_blank=True, required=False)
    address = serializers.CharField(max_length=500, allow_blank=True, required=False)
    country = serializers.CharField(max_length=2, allow_blank=True, required=False)
    vat_id = serializers.CharField(max_length=20, allow_blank=True, required=False)
    registration_number = serializers.CharField(max_length=100, allow_blank=True, required=False)
    iban = serializers.CharField(max_length=34, allow_blank=True, required=False)
    bic = serializers.CharField(max_length=11, allow_blank=True, required=False)
    email = serializers.EmailField(allow_blank=True, required=False)
    series_prefix = serializers.CharField(max_length=10, required=False)
    payment_term_days = serializers.IntegerField(required=False, min_value=0, max_value=180)
    tax_rates = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=5000),
        required=False,
        help_text="Country to basis points: 2100 is 21 percent",
    )
    charges_oss = serializers.BooleanField(required=False)
    exemption = serializers.CharField(max_length=200, allow_blank=True, required=False)
    checks_vat_ids = serializers.BooleanField(required=False)


class NewPayment(OfTenant):
    tenant = serializers.SlugField(help_text="Who paid")
    amount_micros = Money(help_text="All that came")
    currency = serializers.CharField(
        max_length=3, default="", allow_blank=True, help_text="Else the account's"
    )
    reference = serializers.CharField(max_length=200, help_text="The bank's own; the same one is booked once")
    method = serializers.ChoiceField(
        [PaymentMethod.BANK.value, PaymentMethod.OTHER.value], default=PaymentMethod.BANK.value
    )
    note = serializers.CharField(max_length=200, default="", allow_blank=True)


class PaymentOut(serializers.ModelSerializer[Payment]):
    object = serializers.CharField(default="payment", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")

    class Meta:
        model = Payment
        fields = ["object", "id", "tenant", "method", "status", "amount_micros", "tax_micros", "refunded_micros", "currency",
                  "reference", "note", "created_at", "paid_at"]  # fmt: skip


class NewCredit(OfTenant):
    tenant = serializers.SlugField(help_text="To whom it is given")
    amount_micros = Money()
    reason = serializers.CharField(max_length=200)


class CreditOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="credit")
    id = serializers.UUIDField(help_text="Its transaction in the ledger")
    tenant = serializers.CharField()
    amount_micros = serializers.IntegerField()


class InvoiceQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )
    status = serializers.ChoiceField(InvoiceStatus.choices, default="", allow_blank=True)
    kind = serializers.ChoiceField(InvoiceKind.choices, default="", allow_blank=True)


class NewInvoice(serializers.Serializer[Any]):
    tenant = serializers.SlugField(help_text="Whose usage")
    month = serializers.RegexField(
        r"^\d{4}-(0[1-9]|1[0-2])\Z", default="", allow_blank=True,
        help_text="One that is over, like 2027-01; left out: what no invoice states yet, up to this moment",
    )  # fmt: skip


class Correction(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=200)


class NewCreditNote(Correction):
    amount_minor = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MINOR_MAX,
        help_text="Its tax included; left out: all that is left",
    )
    line = serializers.IntegerField(required=False, min_value=1, help_text="In place of an amount: this line")


class LineOut(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    kind = serializers.CharField()
    month = serializers.DateField(allow_null=True)
    description = serializers.CharField()
    project_id = serializers.UUIDField(allow_null=True)
    model = serializers.CharField()
    unit = serializers.CharField()
    quantity = serializers.IntegerField()
    price_micros = serializers.IntegerField()
    per = serializers.IntegerField(help_text="Of how many of the unit that is the price")
    price = serializers.CharField(help_text="For people: 0.50 EUR per 1M tokens")
    amount_picos = serializers.CharField(help_text="Exact: 1e-12 of the currency")
    amount_minor = serializers.IntegerField()


class InvoiceOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="invoice")
    id = serializers.UUIDField()
    tenant = serializers.CharField()
    number = serializers.CharField()
    kind = serializers.ChoiceField(InvoiceKind.choices)
    status = serializers.ChoiceField(InvoiceStatus.choices)
    currency = serializers.CharField()
    first_day = serializers.DateField(allow_null=True)
    next_day = serializers.DateField(allow_null=True, help_text="The day after the period")
    net_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField()
    gross_minor = serializers.IntegerField()
    gross = serializers.CharField(help_text="For people: 121.00")
    credited_minor = serializers.IntegerField()
    paid_micros = serializers.IntegerField()
    tax_category = serializers.CharField()
    tax_rate_bp = serializers.IntegerField()
    tax_country = serializers.CharField()
    tax_note = serializers.CharField()
    credits = serializers.CharField(help_text="The invoice that a credit note is about")
    reason = serializers.CharField()
    issued_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True)
    paid_at = serializers.DateTimeField(allow_null=True)


class WholeInvoiceOut(InvoiceOut):
    seller = serializers.DictField(child=serializers.CharField())
    buyer = serializers.DictField(child=serializers.CharField())
    lines = LineOut(many=True)


def invoice_row(invoice: Invoice, lines: list[InvoiceLine] | None = None) -> dict[str, Any]:
    """`lines`: as a whole."""
    shape = InvoiceOut if lines is None else WholeInvoiceOut
    made = {
        "object": "invoice",
        "tenant": invoice.tenant.slug,
        "gross": minor_text(invoice.gross_minor, invoice.currency),
        "credits": invoice.credits.number if invoice.credits else "",
    }
    names = set(map(str, shape().fields)) - {"lines"}
    row = {name: made[name] if name in made else getattr(invoice, name) for name in names}
    if lines is not None:
        row["lines"] = [_line_row(line, invoice.currency) for line in lines]
    return row


def _line_row(line: InvoiceLine, currency: str) -> dict[str, Any]:
    names = set(map(str, LineOut().fields)) - {"price"}
    row = {name: getattr(line, name) for name in names} | {"price": price_of(line, currency)}
    return dict(LineOut(row).data)
