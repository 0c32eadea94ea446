"""Prices: versions on cards, never changed. A task is priced by the version that was current when it was admitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from billing.domain.currencies import minor_digits
from billing.domain.pricing import ANY_MODEL, PriceVersion
from billing.domain.units import (
    AUDIO,
    COMPLETION,
    ENGINE,
    IMAGES,
    PIXEL_STEPS,
    PRICE_MAX_MICROS,
    PROMPT,
    REQUESTS,
    VIDEO,
    PriceRefused,
    natural,
)
from billing.models import Price, PriceCard, PriceWithdrawal
from gdpr.domain import audit
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.tenancy import StateRefused, TenantTaken
from tenants.models import Plan

DEFAULT_CARD = "default"
DEFAULT_CURRENCY = "EUR"
TOO_LATE: Final = timedelta(minutes=1)  # to withdraw a version before it begins

# What each capability meters. Its models need prices for all units of one of these ways, the first of which is usual.
_ANYWAY: Final = (frozenset({ENGINE}), frozenset({REQUESTS}))
METERED_UNITS: Final[Mapping[str, Sequence[frozenset[str]]]] = {
    "text-gen": (frozenset({PROMPT, COMPLETION}), *_ANYWAY),
    "embedding": (frozenset({PROMPT}), *_ANYWAY),
    "image-gen": (frozenset({IMAGES}), frozenset({PIXEL_STEPS}), *_ANYWAY),
    "audio-gen": (frozenset({AUDIO}), *_ANYWAY),
    "video-gen": (frozenset({VIDEO}), frozenset({PIXEL_STEPS}), *_ANYWAY),
}

Capabilities = Callable[[PriceCard, str], set[str]]


class NoPrice(PriceRefused):
    """Nobody said what the model costs, not even nothing."""


def _nothing_published(card: PriceCard, model_name: str) -> set[str]:
    return set()


_published: Capabilities = _nothing_published


def who_publishes(capabilities: Capabilities) -> None:
    """Whoever keeps the catalog tells what models that are published can do, so that no later price leaves out what they
    meter: of a model, or with `*` of all that have no price of their own on the card."""
    global _published
    _published = capabilities


def ensure_card(
    slug: str = DEFAULT_CARD, *, currency: str = DEFAULT_CURRENCY, plan: Plan | None = None, actor: Actor
) -> PriceCard:
    """The card of that slug or for that plan as it is, else a new one. The one without a plan is for all who have none of
    their own."""
    minor_digits(currency)
    wanted = PriceCard.objects.filter(Q(slug=slug) | Q(plan=plan))
    try:
        return wanted.first() or create_card(slug, currency=currency, plan=plan, actor=actor)
    except TenantTaken:  # by another process
        return wanted.get()


def create_card(
    slug: str, *, name: str = "", currency: str = DEFAULT_CURRENCY, plan: Plan | None, actor: Actor
) -> PriceCard:
    """Raises PriceRefused for what is no currency, TenantTaken when the slug has a card, or the plan."""
    minor_digits(currency)
    try:
        with colony_tx("price card"):
            card = PriceCard.objects.create(slug=slug, name=name or slug, currency=currency, plan=plan)
            details = {"currency": currency, "plan": plan.slug if plan else ""}
            audit.record("price_card.created", actor=actor, object_ref=f"price_card:{slug}", details=details)
    except IntegrityError:
        taken = PriceCard.objects.filter(slug=slug).exists()
        whose = f"the plan {plan.slug}" if plan else "everybody"
        raise TenantTaken(
            "slug" if taken else "plan",
            f"There is a price card {slug} already."
            if taken
            else f"There is a price card for {whose} already.",
        ) from None
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
        _check_published(card, model_name, checked, is_free)
        before = _version_at(card, model_name, valid_from)
        if before and (before.prices, before.is_free) == (checked, is_free):
            return before
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
                "valid_from": price.valid_from.isoformat(),
            },
        )
        announce_after_commit("prices")
    return price


def withdraw_price(price: Price, *, actor: Actor) -> None:
    """Of one that has not begun. Raises StateRefused."""
    with colony_tx("price withdrawn"):
        PriceCard.objects.select_for_update().get(id=price.card_id)
        withdraw_version(price.id, price.valid_from, f"version {price.version} of {price.model}")
        audit.record(
            "price.withdrawn",
            actor=actor,
            object_ref=f"price:{price.id.hex}",
            details={"model": price.model, "card": price.card.slug, "version": price.version},
        )
        announce_after_commit("prices")


def withdraw_version(version_id: UUID, valid_from: datetime, what: str) -> None:
    """Of prices or of terms, within the transaction that audits it. Raises StateRefused."""
    if valid_from <= timezone.now() + TOO_LATE:
        raise StateRefused("id", f"{what} has begun: it may have been used. Set another one.")
    if PriceWithdrawal.objects.filter(version_id=version_id).exists():
        raise StateRefused("id", f"{what} is withdrawn already.")
    PriceWithdrawal(version_id=version_id).save()


def find_card(slug: str) -> PriceCard | None:
    return PriceCard.objects.select_related("plan").filter(slug=slug).first()


def versions_in_force(at: datetime | None = None) -> QuerySet[Price]:
    """That have begun and were not withdrawn; the last one of a card and a model is the one that holds."""
    return standing_versions().filter(valid_from__lte=at or timezone.now())


def standing_versions() -> QuerySet[Price]:
    """Of any time."""
    gone = PriceWithdrawal.objects.filter(version_id=OuterRef("id"))
    return Price.objects.filter(~Exists(gone)).order_by("card", "model", "-valid_from", "-version")


def current_prices(card: PriceCard, at: datetime | None = None) -> list[Price]:
    """By model."""
    return list(versions_in_force(at).filter(card=card).distinct("card", "model"))


def prices_paid(plan: Plan, model_names: Sequence[str]) -> dict[str, Price]:
    """By tenants of that plan: the plan's own card before the one for all, the model's own price before that of any model,
    as `PriceBook` has it. Models that nobody priced are left out."""
    wanted = versions_in_force().filter(
        Q(card__plan=plan) | Q(card__plan=None), model__in=[*model_names, ANY_MODEL]
    )
    found = {
        (price.card.plan_id is None, price.model): price
        for price in wanted.distinct("card", "model").select_related("card")
    }
    paid = {
        name: found.get((False, name))
        or found.get((False, ANY_MODEL))
        or found.get((True, name))
        or found.get((True, ANY_MODEL))
        for name in model_names
    }
    return {name: price for name, price in paid.items() if price}


def version_of(price: Price) -> PriceVersion:
    return PriceVersion(
        id=price.id.hex, model=price.model, currency=price.currency, prices=dict(price.prices)
    )


def require_price(model_name: str, capability: str) -> Price:
    """The price that everyone without a card of their own pays. To be called before a model is published. Raises NoPrice
    when there is none, or when it leaves out what the model meters: that would be free by omission."""
    current = versions_in_force().filter(card__plan=None, model__in=[model_name, ANY_MODEL])
    found = {price.model: price for price in current.distinct("card", "model")}
    price = found.get(model_name) or found.get(ANY_MODEL)
    if price is None:
        raise NoPrice(f"{model_name} has no price; a price of nothing must be said")
    if not price.is_free:
        _check_metered(model_name, price.prices, capability)
    return price


def _check_published(card: PriceCard, model_name: str, prices: Mapping[str, int], is_free: bool) -> None:
    for capability in () if is_free else sorted(_published(card, model_name)):
        _check_metered(model_name, prices, capability)


def _check_metered(model_name: str, prices: Mapping[str, int], capability: str) -> None:
    ways = METERED_UNITS[capability]
    if not any(units <= set(prices) for units in ways):
        raise NoPrice(
            f"the price of {model_name} leaves out {', '.join(sorted(ways[0] - set(prices)))}, which {capability} meters"
        )


def _version_at(card: PriceCard, model_name: str, valid_from: datetime | None) -> Price | None:
    """Whose place a version from then on takes. Raises PriceRefused for a time that is over."""
    if valid_from is None:
        return versions_in_force().filter(card=card, model=model_name).first()
    if valid_from < timezone.now() - TOO_LATE:
        raise PriceRefused(f"a price begins at once or later, not at {valid_from.isoformat()}")
    return versions_in_force(valid_from).filter(card=card, model=model_name).first()


def _checked(prices: Mapping[str, int], is_free: bool) -> dict[str, int]:
    for unit, micros in prices.items():
        natural(unit)
        if isinstance(micros, bool) or not isinstance(micros, int) or not 0 <= micros <= PRICE_MAX_MICROS:
            raise PriceRefused(
                f"the price of {unit} is an integer from 0 to {PRICE_MAX_MICROS}, not {micros!r}"
            )
    if is_free and any(prices.values()):
        raise PriceRefused("a model is free or has prices, not both")
    if not is_free and not any(prices.values()):
        raise PriceRefused("a price of nothing must be said: is_free")
    return dict(prices)
