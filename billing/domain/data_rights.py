"""What an export and an erasure have to know of the books. Registered when Django starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from billing.domain.invoice_pdf import pdf_of
from billing.domain.prices import ensure_card
from billing.models import Invoice, Price
from gdpr.domain import portable
from gdpr.domain.audit import Actor
from gdpr.domain.holders import Hold
from gdpr.domain.tables import register_clearer
from gdpr.holding import Identity, Whose
from gdpr.scope import tenant_tx

AT_ONCE: Final = 5000


def register() -> None:
    register_clearer("billing.UsageEvent", forget_subject)
    portable.register_derived("billing.Balance")  # the ledger's trigger keeps it
    portable.register_preparation("billing.UsageEvent", _know_prices)
    portable.register_files(Whose.TENANT, invoices_of)


def forget_subject(identity: Identity, hold: Hold) -> int:
    """What was used and charged stays in the books; whose it was does not, and neither do the bytes that the hive signed,
    in which it stands too. The table refuses every other change."""
    assert identity.tenant_id is not None, "a subject is somebody's"
    return forget_events(identity.tenant_id, identity.subject, meanwhile=hold.renew)


def forget_events(
    tenant_id: UUID,
    subject: str,
    *,
    asked_before: datetime | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    total = 0
    while True:
        with tenant_tx(tenant_id), connection.cursor() as cursor:
            cursor.execute(
                "SELECT rbee_forget_subject(%s, %s, %s, %s)",
                [tenant_id, subject, asked_before or "infinity", AT_ONCE],
            )
            changed: int = cursor.fetchone()[0]
        total += changed
        meanwhile()
        if changed < AT_ONCE:
            return total


def _know_prices(rows: Sequence[Mapping[str, Any]]) -> None:
    """Events name prices of the colony that they come from. What each was charged stands with it; the price itself is a
    name that no model of this colony has."""
    wanted = {UUID(row["price_id"]): str(row["currency"]) for row in rows}
    known = set(Price.objects.filter(id__in=wanted).values_list("id", flat=True))
    missing = wanted.keys() - known
    if not missing:
        return
    card = ensure_card(actor=Actor.system("import"))
    Price.objects.bulk_create(
        Price(
            id=price_id, card=card, model=f"imported-{price_id.hex}", version=1, currency=wanted[price_id], prices={},
            is_free=True,
        )
        for price_id in sorted(missing)
    )  # fmt: skip


def invoices_of(identity: Identity) -> Iterator[portable.File]:
    assert identity.tenant_id is not None, "an identity names its owner"
    with tenant_tx(identity.tenant_id):
        ids = list(Invoice.objects.order_by("id").values_list("id", flat=True))
    for invoice_id in ids:
        with tenant_tx(identity.tenant_id):
            invoice = Invoice.objects.get(id=invoice_id)
            content = pdf_of(invoice, list(invoice.lines.all()))
        yield f"invoices/{_file_name(invoice.number)}.pdf", content


def _file_name(number: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in number)
