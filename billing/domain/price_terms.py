"""What the tenants of a card owe for a month beside their tasks: versions, never changed, that begin with a month.

Those that hold on a period's first day rate all of it. A plan whose card has none has those of the card for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID

import msgspec
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.utils import timezone

from billing.domain.prices import DEFAULT_CURRENCY, withdraw_version
from billing.domain.pricing import QUANTITY_MAX
from billing.domain.rating import WHOLE_BP, Terms, TieredPrice
from billing.domain.units import PRICE_MAX_MICROS, PriceRefused, natural
from billing.models import PriceCard, PriceTerms, PriceWithdrawal, TenantDiscount
from gdpr.domain import audit
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Tenant

AMOUNT_MAX_MICROS: Final = PRICE_MAX_MICROS
ENTRIES_MAX: Final = 200  # of tiers, and of included quantities
REASON_MAX: Final = 200


class TermsRefused(PriceRefused):
    """The terms make no sense; the message says why."""


def set_terms(card: PriceCard, terms: Terms, *, valid_from: date | None = None, actor: Actor) -> PriceTerms:
    """From the first of a month on, this one's or a later one's. Left out: the next one's, or this one's for the first
    terms of a card. The same terms again make no new version. Raises PriceRefused."""
    check_terms(terms)
    if terms.currency != card.currency:
        raise TermsRefused(f"the price card {card.slug} is in {card.currency}, not {terms.currency}")
    with colony_tx("price terms set"):
        PriceCard.objects.select_for_update().get(id=card.id)
        begins = _month(card, valid_from)
        before = terms_versions(begins).filter(card=card).first()
        if before is not None and read_terms(before) == terms:
            return before
        highest = PriceTerms.objects.filter(card=card).aggregate(Max("version"))["version__max"]
        made = PriceTerms(
            card=card, version=(highest or 0) + 1, terms=msgspec.to_builtins(terms), valid_from=begins
        )
        made.save()
        audit.record(
            "price_terms.set",
            actor=actor,
            object_ref=f"price_terms:{made.id.hex}",
            details={
                "card": card.slug, "version": made.version, "valid_from": begins.isoformat(), "terms": made.terms,
            },
        )  # fmt: skip
    return made


def withdraw_terms(terms: PriceTerms, *, actor: Actor) -> None:
    """Of a month that has not begun. Raises StateRefused."""
    with colony_tx("price terms withdrawn"):
        PriceCard.objects.select_for_update().get(id=terms.card_id)
        begins = datetime(terms.valid_from.year, terms.valid_from.month, 1, tzinfo=UTC)
        withdraw_version(terms.id, begins, f"version {terms.version} of the terms")
        audit.record(
            "price_terms.withdrawn",
            actor=actor,
            object_ref=f"price_terms:{terms.id.hex}",
            details={"card": terms.card.slug, "version": terms.version},
        )


def give_discount(
    tenant: Tenant, discount_bp: int | None, *, reason: str, valid_from: date | None = None, actor: Actor
) -> TenantDiscount:
    """To one tenant, in place of its card's; None: the card's again. From this month on, or a later one's first day. Raises
    PriceRefused."""
    if discount_bp is not None and not 0 <= discount_bp <= WHOLE_BP:
        raise TermsRefused(f"a discount is from 0 to {WHOLE_BP} hundredths of a percent")
    if not reason.strip() or len(reason) > REASON_MAX:
        raise TermsRefused(f"a discount has a reason, of at most {REASON_MAX} characters")
    begins = valid_from or _this_month()
    _check_month(begins)
    with tenant_tx(tenant.id):
        given = TenantDiscount(
            tenant=tenant, discount_bp=discount_bp, reason=reason.strip(), valid_from=begins
        )
        given.save()
        audit.record(
            "tenant_discount.given",
            actor=actor,
            object_ref=f"tenant:{tenant.id.hex}",
            details={"discount_bp": discount_bp, "valid_from": begins.isoformat()},
            private={"reason": {"reason": reason}},
        )
    return given


def terms_of(tenant_id: UUID, *, currency: str = "", on: date | None = None) -> Terms:
    """Of a tenant, with its own discount, for the period that begins `on` that day; this month's when left out. Terms of a
    card in another `currency` than asked for do not count."""
    on = on or _this_month()
    with tenant_tx(tenant_id):
        tenant = Tenant.objects.select_related("plan").get(id=tenant_id)
        discounts = discounts_on(on)
    return terms_of_plans(on).of(tenant.plan_id, currency, discounts.get(tenant_id))


class TermsByPlan(msgspec.Struct, frozen=True):
    """On one day. None stands for everybody."""

    by_plan: Mapping[UUID | None, Terms]

    def of(self, plan_id: UUID, currency: str, discount_bp: int | None) -> Terms:
        found = self.by_plan.get(plan_id) or self.by_plan.get(None) or Terms(currency=currency)
        if currency and found.currency != currency:
            found = Terms(currency=currency)
        if not found.currency:
            found = msgspec.structs.replace(found, currency=DEFAULT_CURRENCY)
        return found if discount_bp is None else msgspec.structs.replace(found, discount_bp=discount_bp)


def terms_of_plans(on: date) -> TermsByPlan:
    """One query."""
    rows = terms_versions(on).distinct("card").select_related("card")
    return TermsByPlan({row.card.plan_id: read_terms(row) for row in rows})


def discounts_on(on: date) -> dict[UUID, int | None]:
    """By tenant, of those that the scope sees."""
    rows = TenantDiscount.objects.filter(valid_from__lte=on)
    newest = rows.order_by("tenant", "-valid_from", "-id").distinct("tenant")
    return dict(newest.values_list("tenant_id", "discount_bp"))


def terms_versions(on: date | None = None) -> QuerySet[PriceTerms]:
    """Those that were not withdrawn and have begun by that day; all, if none is given. The one that holds first."""
    gone = PriceWithdrawal.objects.filter(version_id=OuterRef("id"))
    rows = PriceTerms.objects.filter(~Exists(gone)).order_by("card", "-valid_from", "-version")
    return rows if on is None else rows.filter(valid_from__lte=on)


def read_terms(row: PriceTerms) -> Terms:
    return msgspec.convert(row.terms, Terms)


def check_terms(terms: Terms) -> None:
    """Raises PriceRefused."""
    for name, value, most in (
        ("a subscription", terms.subscription_micros, AMOUNT_MAX_MICROS),
        ("a minimum", terms.minimum_micros, AMOUNT_MAX_MICROS),
        ("a discount", terms.discount_bp, WHOLE_BP),
    ):
        if not 0 <= value <= most:
            raise TermsRefused(f"{name} is from 0 to {most}, not {value}")
    if max(len(terms.tiered), len(terms.included)) > ENTRIES_MAX:
        raise TermsRefused(f"terms have at most {ENTRIES_MAX} tiered prices and included quantities")
    _check_once(((one.model, one.unit) for one in terms.tiered), "tiers")
    _check_once(((one.model, one.unit) for one in terms.included), "included quantities")
    for included in terms.included:
        natural(included.unit)
        if not 0 < included.quantity <= QUANTITY_MAX:
            raise TermsRefused(f"an included quantity is from 1 to {QUANTITY_MAX}, not {included.quantity}")
    for tiered in terms.tiered:
        _check_tiers(tiered)


def _check_tiers(tiered: TieredPrice) -> None:
    natural(tiered.unit)
    what = f"the tiers of {tiered.unit} of {tiered.model}"
    if not tiered.tiers or tiered.tiers[-1].up_to is not None:
        raise TermsRefused(f"{what} end with one that has no end")
    ends = [tier.up_to for tier in tiered.tiers[:-1]]
    if len(tiered.tiers) > ENTRIES_MAX or any(end is None for end in ends):
        raise TermsRefused(f"{what} have one without end, the last, and at most {ENTRIES_MAX}")
    steps = [0, *(end for end in ends if end is not None)]
    if any(later <= sooner for sooner, later in pairwise(steps)) or steps[-1] > QUANTITY_MAX:
        raise TermsRefused(f"{what} rise from one to the next")
    if any(not 0 <= tier.price_micros <= PRICE_MAX_MICROS for tier in tiered.tiers):
        raise TermsRefused(f"{what} have prices from 0 to {PRICE_MAX_MICROS}")


def _check_once(places: Iterable[tuple[str, str]], what: str) -> None:
    seen: set[tuple[str, str]] = set()
    for place in places:
        if place in seen:
            raise TermsRefused(f"{what} of {place[1]} of {place[0]} are said twice")
        seen.add(place)


def _month(card: PriceCard, valid_from: date | None) -> date:
    if valid_from is not None:
        _check_month(valid_from)
        return valid_from
    this_month = _this_month()
    is_first = not terms_versions().filter(card=card).exists()
    return this_month if is_first else (this_month + timedelta(days=31)).replace(day=1)


def _check_month(day: date) -> None:
    if day.day != 1:
        raise TermsRefused(f"terms begin with a month, not on {day.isoformat()}")
    if day < _this_month():
        raise TermsRefused(f"terms begin this month or later, not on {day.isoformat()}")


def _this_month() -> date:
    return timezone.now().astimezone(UTC).date().replace(day=1)
