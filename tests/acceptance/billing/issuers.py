"""Eight processes that issue receipts and credit notes, each killed at any moment and started again.

    python -m tests.acceptance.billing.issuers KILLS TENANT…

RBEE_BENCH_PLANTED=1 plants a bug: the number is kept although its invoice is not.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from uuid import UUID

import django

ISSUERS = 8
LIFE_S = (0.2, 3.0)  # of one, from when it begins to work


def main() -> None:
    django.setup()
    import billing.domain.credit_notes
    import billing.domain.receipts  # noqa: F401 -- here, so that no issuer spends its short life on it

    kills, tenants = int(sys.argv[1]), [UUID(text) for text in sys.argv[2:]]
    if os.environ.get("RBEE_BENCH_PLANTED"):
        plant()
    running = {fork(tenants, seed) for seed in range(ISSUERS)}
    for seed in range(ISSUERS, ISSUERS + kills):
        time.sleep(random.uniform(*LIFE_S) / ISSUERS)
        victim = random.choice(sorted(running))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        running ^= {victim, fork(tenants, seed)}
    for process in running:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def fork(tenants: list[UUID], seed: int) -> int:
    """No connection is open where this is called."""
    process = os.fork()
    if process:
        return process
    try:
        issue_for_ever(tenants, random.Random(seed))
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def issue_for_ever(tenants: list[UUID], choice: random.Random) -> None:
    from billing.domain.credit_notes import credit_invoice
    from billing.domain.issuing import InvoiceRefused
    from billing.domain.receipts import pay
    from billing.enums import InvoiceKind, PaymentMethod
    from billing.models import Invoice
    from gdpr.domain.audit import Actor
    from gdpr.ids import uuid7
    from gdpr.scope import tenant_tx

    actor = Actor.system("tests")
    while True:
        tenant_id = choice.choice(tenants)
        pay(
            tenant_id,
            method=PaymentMethod.BANK,
            reference=str(uuid7()),
            amount_micros=12_100_000,
            actor=actor,
        )
        with tenant_tx(tenant_id):
            receipt = Invoice.objects.filter(kind=InvoiceKind.RECEIPT).first()
        if receipt and choice.random() < 0.5:
            try:
                credit_invoice(receipt, gross_minor=121, reason="x", actor=actor)
            except InvoiceRefused:
                pass


def plant() -> None:
    import psycopg
    from django.conf import settings

    from billing.domain import issuing
    from billing.domain.numbering import Number

    series_of = issuing.take_number

    def take_number(kind, prefix, at):  # type: ignore[no-untyped-def]
        name = f"{prefix}{kind[:2]}-{at.year}"
        with psycopg.connect(settings.RBEE.database_url, autocommit=True) as other:
            row = other.execute(
                "INSERT INTO billing_numberseries VALUES (%s, 1) ON CONFLICT (name)"
                " DO UPDATE SET last_number = billing_numberseries.last_number + 1 RETURNING last_number",
                [name],
            ).fetchone()
        return Number(name, row[0])

    assert series_of is not take_number
    issuing.take_number = take_number


if __name__ == "__main__":
    main()
