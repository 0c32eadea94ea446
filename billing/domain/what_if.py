"""What a month would have cost with other prices: by tenant and model, beside what it cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

import msgspec

from billing.domain.currencies import to_micros
from billing.domain.period_usage import Used, used_in_period
from billing.domain.price_file import CardFile
from billing.domain.price_terms import TermsByPlan, discounts_on, terms_of_plans
from billing.domain.pricing import ANY_MODEL, PriceVersion
from billing.domain.rating import Terms, UsedQuantity, rate
from gdpr.scope import colony_tx
from tenants.models import Tenant


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    tenant: str
    model: str
    was_micros: int
    would_be_micros: int

    @property
    def difference_micros(self) -> int:
        return self.would_be_micros - self.was_micros


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    currency: str
    rows: list[Compared]
    other_currencies: list[str]  # what was charged in them is left out


def what_if(card: CardFile, month: date, tenant_id: UUID | None = None) -> WhatIf:
    """`month`: its first day. What the card does not price costs what it cost; a card that says no terms leaves them as they
    are. A tenant's own discount stays."""
    following = (month + timedelta(days=31)).replace(day=1)
    prices = _prices(card)
    new_terms = card.terms[-1].terms if card.terms else None
    with colony_tx("what if prices were others"):
        charged = list(used_in_period(month, following, tenant_id=tenant_id))
        supposed = list(used_in_period(month, following, tenant_id=tenant_id, card=prices))
        tenants = {one.id: one for one in Tenant.objects.filter(id__in={each.tenant_id for each in charged})}
        discounts = discounts_on(month)
    terms, rows = terms_of_plans(month), []
    was, would_be = _by_tenant(charged, card.currency), _by_tenant(supposed, card.currency)
    for owner, tenant in sorted(tenants.items(), key=lambda item: item[1].slug):
        if owner not in was:
            continue
        held = terms.of(tenant.plan_id, card.currency, discounts.get(owner))
        then = (
            held
            if new_terms is None
            else TermsByPlan({None: new_terms}).of(tenant.plan_id, card.currency, discounts.get(owner))
        )
        rows += _compared(
            tenant.slug,
            _costs(held, was[owner]),
            _costs(then, [_at(prices, each) for each in would_be[owner]]),
        )
    others = {each.quantity.price.currency for each in charged} - {card.currency}
    return WhatIf(currency=card.currency, rows=rows, other_currencies=sorted(others))


def _prices(card: CardFile) -> dict[str, PriceVersion]:
    """Of a model that is priced for several days, the last."""
    return {
        entry.model: PriceVersion(id="", model=entry.model, currency=card.currency, prices=entry.prices)
        for entry in sorted(
            card.prices, key=lambda entry: entry.valid_from.timestamp() if entry.valid_from else 0
        )
    }


def _at(prices: Mapping[str, PriceVersion], each: UsedQuantity) -> UsedQuantity:
    price = prices.get(each.model) or prices.get(ANY_MODEL)
    return msgspec.structs.replace(each, price=price) if price else each


def _by_tenant(used: Sequence[Used], currency: str) -> dict[UUID, list[UsedQuantity]]:
    found: dict[UUID, list[UsedQuantity]] = defaultdict(list)
    for each in used:
        if each.quantity.price.currency == currency:
            found[each.tenant_id].append(each.quantity)
    return found


def _costs(terms: Terms, used: Sequence[UsedQuantity]) -> dict[str, int]:
    """Picos by model."""
    found: dict[str, int] = defaultdict(int, {each.model: 0 for each in used})
    for line in rate(terms, used):
        found[line.model] += line.amount_picos
    return found


def _compared(tenant: str, was: Mapping[str, int], would_be: Mapping[str, int]) -> list[Compared]:
    return [
        Compared(
            tenant=tenant,
            model=model,
            was_micros=to_micros(was.get(model, 0)),
            would_be_micros=to_micros(would_be.get(model, 0)),
        )
        for model in sorted({*was, *would_be})
    ]
