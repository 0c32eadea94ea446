"""Prices: versions on cards, never changed. A task is priced by the version that was current when it was admitted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Max
from django.utils import timezone

from billing.models import Price, PriceCard
from gdpr.domain import audit
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.models import Plan

ANY_MODEL = "*"
DEFAULT_CARD = "default"
DEFAULT_CURRENCY = "EUR"
PRICE_MAX_MICROS = 10**15

# What each capability meters and so must be priced. Others need a price that names anything at all.
METERED_UNITS = {
    "text-gen": frozenset({"prompt_tokens", "completion_tokens"}),
    "embedding": frozenset({"prompt_tokens"}),
}


class PriceRefused(ValueError):
    """The price makes no sense; the message says why."""


class NoPrice(PriceRefused):
    """Nobody said what the model costs, not even nothing."""


def ensure_card(
    slug: str = DEFAULT_CARD, *, currency: str = DEFAULT_CURRENCY, plan: Plan | None = None, actor: Actor
) -> PriceCard:
    """The card of that slug as it is, else a new one. The one without a plan is for all who have none of their own."""
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise PriceRefused(f"a currency is three capitals such as EUR, not {currency!r}")
    with colony_tx("price card"):
        card, is_new = PriceCard.objects.get_or_create(
            slug=slug, defaults={"name": slug, "currency": currency, "plan": plan}
        )
        if is_new:
            audit.record(
                "price_card.created",
                actor=actor,
                object_ref=f"price_card:{slug}",
                details={"currency": currency},
            )
    return card


def set_price(
    model_name: str,
    prices: Mapping[str, int],
    *,
    currency: str | None = None,
    is_free: bool = False,
    actor: Actor,
    card: PriceCard | None = None,
    valid_from: datetime | None = None,
) -> Price:
    """A further version on `card`, else on the default one. A model that costs nothing must be said to be free. The same
    prices again make no new version. Raises PriceRefused."""
    checked = _checked(prices, is_free)
    with colony_tx("price set"):
        card = card or ensure_card(currency=currency or DEFAULT_CURRENCY, actor=actor)
        if currency is not None and currency != card.currency:
            raise PriceRefused(f"the price card {card.slug} is in {card.currency}, not {currency}")
        PriceCard.objects.select_for_update().get(id=card.id)  # one version at a time
        last = Price.objects.filter(card=card, model=model_name).order_by("-version").first()
        if last and valid_from is None and (last.prices, last.is_free) == (checked, is_free):
            return last
        highest = Price.objects.filter(card=card, model=model_name).aggregate(Max("version"))["version__max"]
        price = Price(
            card=card,
            model=model_name,
            version=(highest or 0) + 1,
            currency=card.currency,
            prices=checked,
            is_free=is_free,
            valid_from=valid_from or timezone.now(),
        )
        price.save()
        audit.record(
            "price.set",
            actor=actor,
            object_ref=f"price:{price.id.hex}",
            details={
                "model": model_name,
                "card": card.slug,
                "version": price.version,
                "currency": card.currency,
                "prices": checked,
            },
        )
        announce_after_commit("prices")
    return price


def plan_card(plan: Plan, *, currency: str = DEFAULT_CURRENCY, actor: Actor) -> PriceCard:
    """Of a plan that pays other prices than everybody. Made when there is none. Raises PriceRefused."""
    card = PriceCard.objects.filter(plan=plan).first()
    return card or ensure_card(f"plan-{plan.slug}", currency=currency, plan=plan, actor=actor)


def current_prices(plan: Plan) -> list[Price]:
    """On the plan's own card, by model."""
    newest = Price.objects.filter(card__plan=plan, valid_from__lte=timezone.now())
    return list(newest.order_by("model", "-valid_from", "-version").distinct("model"))


def require_price(model_name: str, capability: str) -> Price:
    """The price that everyone without a card of their own pays. To be called before a model is published. Raises NoPrice
    when there is none, or when it leaves out what the model meters: that would be free by omission."""
    current = Price.objects.filter(
        card__plan=None, model__in=[model_name, ANY_MODEL], valid_from__lte=timezone.now()
    ).order_by("-valid_from", "-version")
    found = sorted(
        current, key=lambda price: price.model == ANY_MODEL
    )  # stable: its own price first, newest first
    if not found:
        raise NoPrice(f"{model_name} has no price; a price of nothing must be said")
    price = found[0]
    missing = METERED_UNITS.get(capability, frozenset()) - set(price.prices)
    if missing and not price.is_free:
        raise NoPrice(f"the price of {model_name} leaves out {', '.join(sorted(missing))}")
    return price


def _checked(prices: Mapping[str, int], is_free: bool) -> dict[str, int]:
    for unit, micros in prices.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", unit):
            raise PriceRefused(f"{unit!r} is not a unit of usage")
        if isinstance(micros, bool) or not isinstance(micros, int) or not 0 <= micros <= PRICE_MAX_MICROS:
            raise PriceRefused(
                f"the price of {unit} is an integer from 0 to {PRICE_MAX_MICROS}, not {micros!r}"
            )
    if is_free and any(prices.values()):
        raise PriceRefused("a model is free or has prices, not both")
    if not is_free and not any(prices.values()):
        raise PriceRefused("a price of nothing must be said: is_free")
    return dict(prices)
