"""Invoices by e-mail, each once, with its PDF. Called by a chore, never by who issues."""

from __future__ import annotations

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone

from billing.domain.accounts import find_account
from billing.domain.invoice_pdf import pdf_of
from billing.domain.invoice_text import TITLES
from billing.domain.money import minor_text
from billing.enums import InvoiceKind, InvoiceStatus
from billing.models import Invoice, InvoiceLine
from gdpr.scope import colony_tx
from tenants.enums import Role
from tenants.models import Member

AGAIN_AFTER = timedelta(minutes=10)  # one that a server refused: it holds up no other

logger = logging.getLogger(__name__)


def mail_invoices() -> int:
    """Those that were not mailed yet. How many were."""
    if not settings.RBEE.smtp_url:
        return 0
    sent = 0
    while _mail_one():
        sent += 1
    return sent


def _mail_one() -> bool:
    """Whether there may be more. After one that could not be sent it is the next run's turn: a server that is away would be
    waited for by each."""
    with colony_tx("mail an invoice"):
        due = Invoice.objects.filter(mailed_at=None, mail_after__lte=timezone.now()).order_by(
            "issued_at", "id"
        )
        invoice = due.select_for_update(skip_locked=True, of=("self",)).first()
        if invoice is None:
            return False
        to = _addresses(invoice)
        try:
            if to:
                _send(invoice, to)
        except (SMTPException, OSError) as error:
            logger.warning(
                "invoice %s was not mailed (%s): tried again later", invoice.number, type(error).__name__
            )
            invoice.mail_after = timezone.now() + AGAIN_AFTER
            invoice.save(update_fields=["mail_after"])
            return False
        invoice.mailed_at = timezone.now()
        invoice.save(update_fields=["mailed_at"])
    return True


def _send(invoice: Invoice, to: list[str]) -> None:
    title, is_open = TITLES[InvoiceKind(invoice.kind)], invoice.status == InvoiceStatus.OPEN
    body = MESSAGE.format(
        title=title,
        number=invoice.number,
        amount=f"{minor_text(invoice.gross_minor, invoice.currency)} {invoice.currency}",
        due=f"It is due on {invoice.due_at:%Y-%m-%d}."
        if is_open and invoice.due_at
        else "There is nothing to pay.",
        url=settings.RBEE.public_url,
    )
    message = EmailMessage(f"{title} {invoice.number}", body, settings.RBEE.email_from, to)
    lines = InvoiceLine.objects.filter(invoice=invoice)
    message.attach(f"{invoice.number}.pdf", pdf_of(invoice, list(lines)), "application/pdf")
    message.send()


def _addresses(invoice: Invoice) -> list[str]:
    """What the account says, else the owner's."""
    if email := find_account(invoice.tenant_id).email:
        return [email]
    owners = Member.objects.filter(tenant=invoice.tenant_id, role=Role.OWNER, user__is_active=True)
    return sorted(owners.values_list("user__email", flat=True))


MESSAGE = """{title} {number}: {amount}. {due}

It is attached, and kept here:

    rbee invoice show {number}

{url}
"""
