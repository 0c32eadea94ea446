from django.db import models


class TransferKind(models.TextChoices):
    TASK = "task"  # exactly one for each usage event, also when its amount is 0
    LATE_USAGE = "late_usage"  # what a task used beyond the money that was held for it
    HOLD = "hold"  # from a tenant's balance into a budget slice
    RELEASE = "release"  # what a slice did not need
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    CREDIT = "credit"  # given by the operator
    SUBSCRIPTION = "subscription"
    RATING = "rating"  # tiers, volume, discounts, minimums, included quantities: what a period comes to beside its tasks
    TAX = "tax"
    ROUNDING = "rounding"  # between micro-units and the cents of an invoice's line
    PLATFORM_FEE = "platform_fee"
    CORRECTION = "correction"


class BillingMode(models.TextChoices):
    PREPAID = "prepaid"  # a balance that is never negative
    POSTPAID = "postpaid"  # invoices in arrears, up to `credit_limit_micros` if there is one


class AccountState(models.TextChoices):
    """Of payments: see `billing.domain.dunning`."""

    ACTIVE = "active"
    PAST_DUE = "past_due"
    RESTRICTED = "restricted"
    SUSPENDED = "suspended"


class PaymentMethod(models.TextChoices):
    STRIPE = "stripe"
    BANK = "bank"
    OTHER = "other"


class PaymentStatus(models.TextChoices):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUNDED = "refunded"  # wholly
    DISPUTED = "disputed"


class DifferenceKind(models.TextChoices):
    """Where two of the books do not agree: see `billing.domain.reconciliation`."""

    RECEIPT_MISSING = "receipt_missing"  # charged without a hive's word
    RECEIPT_SIGNATURE = "receipt_signature"  # not signed by the hive that is named
    RECEIPT_FACTS = "receipt_facts"  # the hive signed something else
    ENVELOPE = "envelope"  # the queen sealed something else
    PRICE_UNKNOWN = "price_unknown"
    EVENT_AMOUNT = "event_amount"  # not its price times its usage
    TRANSFER_MISSING = "transfer_missing"
    TRANSFER_TWICE = "transfer_twice"
    TRANSFER_AMOUNT = "transfer_amount"
    TRANSFER_ACCOUNTS = "transfer_accounts"  # from or to where no task's money goes
    EVENT_MISSING = "event_missing"  # a task was charged that nobody ran
    BALANCE = "balance"  # not the sum of its transfers
    RESERVED = "reserved"  # not what is in budget slices
    PAYMENT = "payment"  # not what passed through clearing
    STRIPE_PAYMENT = "stripe_payment"  # not what Stripe has of it
    STRIPE_REFUND = "stripe_refund"
    STRIPE_AWAY = "stripe_away"  # it could not be asked


class EventState(models.TextChoices):
    """Of an event of Stripe's."""

    RECEIVED = "received"
    APPLIED = "applied"
    IGNORED = "ignored"  # nothing of ours
    FAILED = "failed"  # given up; an alert tells of it


class SendState(models.TextChoices):
    """Of what Stripe is to be asked."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"  # refused by Stripe, or too old to be counted


class ReversalKind(models.TextChoices):
    REFUND = "refund"
    DISPUTE = "dispute"


class ReversalState(models.TextChoices):
    PENDING = "pending"
    SUCCEEDED = "succeeded"  # refunded, or a dispute that was lost
    FAILED = "failed"  # refused, or a dispute that was won: the money is back


class InvoiceKind(models.TextChoices):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    RECEIPT = "receipt"  # of what was paid before: the invoice of a top-up
    STATEMENT = "statement"  # of what a balance was used for; it asks for nothing


class InvoiceStatus(models.TextChoices):
    DRAFT = "draft"  # what would be on it if it were issued at this moment: never kept
    OPEN = "open"
    PAID = "paid"  # also what asked for nothing
    VOID = "void"  # taken back by a credit note; what it covered is invoiced anew
    UNCOLLECTIBLE = "uncollectible"


class TaxCategory(models.TextChoices):
    STANDARD = "standard"
    REVERSE_CHARGE = "reverse_charge"
    OUTSIDE = "outside"  # of the EU's VAT
    EXEMPT = "exempt"
    NONE = "none"  # on a statement: the tax was in the payments


class SliceState(models.TextChoices):
    """Of a budget slice: see `billing.domain.slices`."""

    OPEN = "open"
    CLOSING = "closing"  # takes no task; what it held comes back
    LOST = "lost"  # with the Redis that had it
    CLOSED = "closed"
