"""Prices, and settled facts that fit together. Ids are made fresh, so settled tasks of one test are in no other's way."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from billing.domain.period_usage import used_in_period
from billing.domain.prices import ensure_card, set_price, version_of
from billing.domain.pricing import amount_micros
from billing.domain.rating import Terms, UsedQuantity
from billing.domain.sellers import change_seller
from billing.domain.settlement import Settlement
from billing.models import LedgerTransfer, Price, PriceCard, PriceTerms, UsageEvent
from gdpr.ids import month_of, uuid7
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Project, Tenant
from tests.factories.tenants import TESTER, make_project, unique

PRICES = {"prompt_tokens": 150_000, "completion_tokens": 600_000}


def make_price(model: str | None = None, **fields: Any) -> Price:
    fields = {"prices": PRICES, "actor": TESTER, "card": make_card(), **fields}
    return set_price(model or unique("model"), **fields)


def make_card(**fields: Any):  # type: ignore[no-untyped-def]
    """The default one: there is only one card without a plan."""
    return ensure_card(**{"actor": TESTER, **fields})


def make_terms(tenant: Tenant, terms: Terms, month: date) -> PriceTerms:
    """Of a card of the tenant's plan, from that month on, which may be over."""
    card = PriceCard.objects.filter(plan=tenant.plan_id).first()
    card = card or make_card(slug=unique("card"), currency=terms.currency, plan=tenant.plan)
    made = PriceTerms(
        card=card, version=PriceTerms.objects.filter(card=card).count() + 1, terms=msgspec.to_builtins(terms), valid_from=month
    )  # fmt: skip
    with colony_tx("tests"):
        made.save()
    return made


def make_settlement(project: Project | None = None, price: Price | None = None, **fields: Any) -> Settlement:
    project, price = project or make_project(), price or make_price()
    now_ms = time.time_ns() // 1_000_000
    facts = {
        "task_id": uuid7().hex,
        "attempt": 1,
        "tenant_id": project.tenant_id.hex,
        "project_id": project.id.hex,
        "key_id": "",
        "price": version_of(price),
        "request_id": unique("req"),
        "subject": "",
        "endpoint": "chat.completions",
        "model": price.model,
        "hive_id": uuid7().hex,
        "worker": uuid7().hex,
        "region": "EU",
        "outcome": "completed",
        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
        "decision": {"policy": "built-in", "candidates": 2},
        "admitted_at_ms": now_ms - 500,
        "began_at_ms": now_ms - 400,
        "first_token_at_ms": now_ms - 300,
        "ended_at_ms": now_ms,
        "receipt": b"signed bytes",
        "signature": b"signature",
    }
    return Settlement(**{**facts, **fields})


def make_seller(**fields: Any):  # type: ignore[no-untyped-def]
    """Complete: a company in the Netherlands."""
    shipped = {
        "legal_name": "GPU Farm B.V.", "address": "Keizersgracht 1\n1015 CC Amsterdam", "country": "NL",
        "vat_id": "NL123456782B90", "registration_number": "KvK 12345678", "iban": "NL91ABNA0417164300",
        "bic": "ABNANL2A", "email": "billing@example.org",
    }  # fmt: skip
    return change_seller({**shipped, **fields}, actor=TESTER)


def last_month() -> date:
    return (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)


def make_event(project: Project, price: Price, day: date, **fields: Any) -> UsageEvent:
    """A task that was settled then, as the books have it; its partition is made."""
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    task_id = uuid7(int(at.timestamp()) * 10**9)
    given = {
        "month": month_of(task_id), "task_id": task_id, "tenant_id": project.tenant_id, "project": project,
        "price": price, "attempt": 1, "request_id": "", "subject": "", "endpoint": "chat.completions",
        "model": price.model, "worker": "", "region": "", "outcome": "completed", "usage": {"prompt_tokens": 10},
        "amount_micros": 0, "currency": price.currency, "decision": {}, "admitted_at": at, "settled_at": at,
        "receipt": b"", "signature": b"", **fields,
    }  # fmt: skip
    event = UsageEvent(**given)
    with colony_tx("tests"), connection.cursor() as cursor:
        cursor.execute("SELECT rbee_make_partitions(%s, %s)", [event.month, event.month])
        event.save()
    return event


def make_usage(
    project: Project,
    price: Price,
    usage: dict[str, int],
    *,
    month: date | None = None,
    outcome: str = "completed",
) -> UsageEvent:
    """A task of that month and what is booked for it, by the test's own transaction."""
    first = datetime.combine(month or last_month(), clock_time(12), UTC)
    task_id = uuid7(int(first.timestamp()) * 10**9 + next(_ticks) * 1_000_000)
    amount = amount_micros(version_of(price), usage, outcome)
    now = datetime.now(UTC)
    with tenant_tx(project.tenant_id):
        event = UsageEvent(
            month=month_of(task_id), task_id=task_id, tenant_id=project.tenant_id, project=project, price=price, attempt=1,
            request_id=unique("req"), endpoint="chat.completions", model=price.model, outcome=outcome, usage=usage,
            amount_micros=amount, currency=price.currency, decision={}, admitted_at=now, settled_at=now,
        )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("SELECT rbee_make_partitions(%s, %s)", [event.month, event.month])
        event.save()
        LedgerTransfer(
            month=event.month, id=task_id, transaction_id=task_id, tenant_id=project.tenant_id, kind="task",
            debit_account=f"tenant:{project.tenant_id.hex}", credit_account="revenue:usage", amount_micros=amount,
            currency=price.currency, booked_at=now,
        ).save()  # fmt: skip
    return event


_ticks = count()


def used_quantities(tenant_id: UUID, currency: str, first_day: date, next_day: date) -> list[UsedQuantity]:
    """Of one tenant in one currency, out of what is added up for all."""
    with tenant_tx(tenant_id):
        found = [each.quantity for each in used_in_period(first_day, next_day, tenant_id=tenant_id)]
    return [each for each in found if each.price.currency == currency]
