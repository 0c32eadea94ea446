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
