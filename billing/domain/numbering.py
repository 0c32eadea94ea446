"""Numbers of invoices: each series counts from 1 and leaves none out, as the law asks. The row of a series stays locked
until the invoice that took the number is committed, so a number is never taken by what then fails."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import F

from billing.enums import InvoiceKind
from billing.models import NumberSeries

_INFIX: Final = {
    InvoiceKind.INVOICE: "",
    InvoiceKind.CREDIT_NOTE: "-CN",
    InvoiceKind.RECEIPT: "-RC",
    InvoiceKind.STATEMENT: "-ST",
}


class Number(NamedTuple):
    series: str
    sequence: int

    @property
    def text(self) -> str:
        return f"{self.series}-{self.sequence:06d}"


def take_number(kind: InvoiceKind, prefix: str, at: datetime) -> Number:
    """As late in the transaction as can be: everybody else who issues waits for its end. A series is of one year."""
    series = f"{prefix}{_INFIX[kind]}-{at.year}"
    NumberSeries.objects.bulk_create([NumberSeries(name=series)], ignore_conflicts=True)
    NumberSeries.objects.filter(name=series).update(last_number=F("last_number") + 1)
    return Number(series, NumberSeries.objects.get(name=series).last_number)
