from celery import shared_task

from billing.domain import fence, invoice_mail, invoices, receipts, vat_ids
from billing.domain.issuing import MAIL


@shared_task(name="billing.sweep_fences")  # type: ignore[untyped-decorator]
def sweep_fences() -> None:
    fence.sweep_fences()


@shared_task(name="billing.close_periods")  # type: ignore[untyped-decorator]
def close_periods() -> None:
    """Each night, so that a night without a worker costs no month its invoices."""
    invoices.close_periods()
    receipts.issue_missing_receipts()


@shared_task(name="billing.invoice_thresholds")  # type: ignore[untyped-decorator]
def invoice_thresholds() -> None:
    invoices.invoice_thresholds()


@shared_task(name=MAIL)  # type: ignore[untyped-decorator]
def mail_invoices() -> None:
    """Asked for by whoever issues, and by beat: for hints that were lost, and for servers that were away."""
    invoice_mail.mail_invoices()


@shared_task(name=vat_ids.CHECK)  # type: ignore[untyped-decorator]
def check_vat_ids() -> None:
    """Asked for by whoever changes one, and by beat: for a register that was away."""
    vat_ids.check_vat_ids()
