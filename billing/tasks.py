from celery import shared_task

from billing import stripe_gateway
from billing.domain import (
    book_retention,
    dunning,
    fence,
    invoice_mail,
    invoices,
    late_receipts,
    meters,
    receipts,
    stripe_events,
    vat_ids,
)
from billing.domain.invoice_funds import DUNNING
from billing.domain.issuing import MAIL
from billing.domain.late_receipts import LATE_RECEIPTS
from billing.domain.stripe_outbox import WORK
from billing.domain.stripe_work import worker
from billing.models import FORGET_BOOKS
from gdpr.duties import unrecorded


@shared_task(
    name="billing.sweep_fences", audits=unrecorded("fences of tasks that are over decide nothing any more")
)  # type: ignore[untyped-decorator]
def sweep_fences() -> None:
    fence.sweep_fences()


@shared_task(name=FORGET_BOOKS, audits="retention.applied")  # type: ignore[untyped-decorator]
def forget_books() -> None:
    book_retention.forget_books()


@shared_task(name=LATE_RECEIPTS, audits=unrecorded("the erasure that it goes on with has recorded it"))  # type: ignore[untyped-decorator]
def forget_late_receipts() -> None:
    late_receipts.forget_late_receipts()


@shared_task(
    name=WORK,
    audits=(
        "stripe_request.ended",
        "payment.received",
        "payment.refunded",
        "reversal.taken",
        "reversal.given_back",
    ),
)  # type: ignore[untyped-decorator]
def stripe_work() -> None:
    """Asked for by whoever wants something of Stripe or hears of it, and by beat: for retries, and for lost hints."""
    worker.nudge()


@shared_task(
    name="billing.fill_stripe_gaps",
    audits=unrecorded("what Stripe says is only noted; billing.stripe_work records what comes of it"),
)  # type: ignore[untyped-decorator]
def fill_stripe_gaps() -> None:
    if stripe_gateway.is_set_up():
        stripe_events.fill_gaps()
        stripe_events.forget_old()


@shared_task(
    name="billing.report_usage_to_stripe",
    audits=unrecorded(
        "it asks for requests to Stripe; each that ends for good is recorded by billing.stripe_work"
    ),
)  # type: ignore[untyped-decorator]
def report_usage_to_stripe() -> None:
    if stripe_gateway.is_set_up():
        meters.report_usage()


@shared_task(name=DUNNING, audits="billing_account.state_changed")  # type: ignore[untyped-decorator]
def run_dunning() -> None:
    """Asked for when an invoice is paid or open again, and by beat: time alone makes one overdue."""
    dunning.run_dunning()


@shared_task(name="billing.close_periods", audits="invoice.issued")  # type: ignore[untyped-decorator]
def close_periods() -> None:
    """Each night, so that a night without a worker costs no month its invoices."""
    invoices.close_periods()
    receipts.issue_missing_receipts()


@shared_task(name="billing.invoice_thresholds", audits="invoice.issued")  # type: ignore[untyped-decorator]
def invoice_thresholds() -> None:
    invoices.invoice_thresholds()


@shared_task(name=MAIL, audits=unrecorded("it mails what was issued, which is recorded"))  # type: ignore[untyped-decorator]
def mail_invoices() -> None:
    """Asked for by whoever issues, and by beat: for hints that were lost, and for servers that were away."""
    invoice_mail.mail_invoices()


@shared_task(name=vat_ids.CHECK, audits="billing_account.vat_id_checked")  # type: ignore[untyped-decorator]
def check_vat_ids() -> None:
    """Asked for by whoever changes one, and by beat: for a register that was away."""
    vat_ids.check_vat_ids()
