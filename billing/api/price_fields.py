"""Prices and terms as the management API takes and shows them: in words, and as the integers that are kept."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from billing.domain.price_import import KINDS
from billing.domain.price_terms import read_terms
from billing.domain.price_text import prices_shown, terms_shown
from billing.domain.prices import DEFAULT_CURRENCY
from billing.domain.pricing import ANY_MODEL
from billing.models import Price, PriceCard, PriceTerms
from tenants.api.fields import Slug

WORDS = "Unit to a text such as `0.15 per 1M tokens`, or to the integer that is kept"


class PriceCardOut(serializers.ModelSerializer[PriceCard]):
    object = serializers.CharField(default="price_card", read_only=True)
    plan = serializers.CharField(source="plan.slug", default=None, allow_null=True)

    class Meta:
        model = PriceCard
        fields = ["id", "object", "slug", "name", "currency", "plan", "created_at"]


class PriceOut(serializers.Serializer[Price]):
    object = serializers.CharField(default="price")
    id = serializers.UUIDField()
    model = serializers.CharField()
    version = serializers.IntegerField()
    currency = serializers.CharField()
    prices = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Micro-units for a million of the unit, for an hour of one in milliseconds",
    )
    shown = serializers.DictField(child=serializers.CharField(), help_text="The same in words")
    is_free = serializers.BooleanField()
    valid_from = serializers.DateTimeField()
    state = serializers.CharField(help_text="past, current, future or withdrawn")

    def to_representation(self, price: Price) -> dict[str, Any]:
        return price_row(price, "future" if price.valid_from > timezone.now() else "current")


class NewPriceCard(serializers.Serializer[Any]):
    slug = Slug()
    name = serializers.CharField(max_length=100, default="", allow_blank=True)
    currency = serializers.CharField(max_length=3, default=DEFAULT_CURRENCY)
    plan = serializers.SlugField(
        help_text="Whose tenants pay these prices; the card for everybody comes with rbee"
    )


class NewPrice(serializers.Serializer[Any]):
    model = serializers.CharField(
        max_length=128, default=ANY_MODEL, help_text="Left out: every model that has none of its own here"
    )
    prices = serializers.DictField(child=serializers.JSONField(), default=dict, help_text=WORDS)
    free = serializers.BooleanField(default=False)
    valid_from = serializers.DateTimeField(required=False, help_text="Left out: at once")


class TermsOut(serializers.Serializer[PriceTerms]):
    object = serializers.CharField(default="price_terms")
    id = serializers.UUIDField()
    version = serializers.IntegerField()
    valid_from = serializers.DateField(help_text="The first of a month")
    terms = serializers.DictField(child=serializers.JSONField())
    state = serializers.CharField(help_text="past, current, future or withdrawn")


class NewTerms(serializers.Serializer[Any]):
    terms = serializers.DictField(
        child=serializers.JSONField(),
        help_text="subscription, minimum, discount, included, tiered: all of them; what is left out is none",
    )
    valid_from = serializers.DateField(
        required=False,
        help_text="The first of a month; left out: of the next, or of this one for a card's first",
    )


class CardDetail(PriceCardOut):
    prices = PriceOut(many=True, help_text="That hold")
    terms = serializers.DictField(child=serializers.JSONField(), help_text="That hold this month")

    class Meta(PriceCardOut.Meta):
        fields = [*PriceCardOut.Meta.fields, "prices", "terms"]


class FileQuery(serializers.Serializer[Any]):
    format = serializers.ChoiceField(list(KINDS), default="yaml")


class CardText(FileQuery):
    object = serializers.CharField(default="price_card.file", read_only=True)
    text = serializers.CharField(max_length=1 << 18)


class NewImport(FileQuery):
    text = serializers.CharField(max_length=1 << 18, trim_whitespace=False)
    dry_run = serializers.BooleanField(default=False, help_text="Tell what would change")


class ImportOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="price_import")
    applied = serializers.BooleanField()
    changes = serializers.ListField(child=serializers.DictField())


class NewDiscount(serializers.Serializer[Any]):
    discount = serializers.CharField(allow_null=True, help_text="Like 12.5%; null: that of its card again")
    reason = serializers.CharField(max_length=200)
    valid_from = serializers.DateField(
        required=False, help_text="The first of a month; left out: of this one"
    )


class DiscountOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="tenant_discount")
    id = serializers.UUIDField()
    tenant = serializers.CharField()
    discount = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    valid_from = serializers.DateField()
    created_at = serializers.DateTimeField()


class NewWhatIf(FileQuery):
    text = serializers.CharField(max_length=1 << 18, trim_whitespace=False)
    currency = serializers.CharField(max_length=3, default=DEFAULT_CURRENCY)
    month = serializers.RegexField(r"^\d{4}-(0[1-9]|1[0-2])\Z", help_text="Like 2026-10")
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="Of this one only")


class WhatIfOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="what_if")
    currency = serializers.CharField()
    month = serializers.CharField()
    rows = serializers.ListField(child=serializers.DictField())
    was_micros = serializers.IntegerField()
    would_be_micros = serializers.IntegerField()
    difference_micros = serializers.IntegerField()
    other_currencies = serializers.ListField(child=serializers.CharField())


def price_row(price: Price, state: str) -> dict[str, Any]:
    return {
        "object": "price", "id": str(price.id), "model": price.model, "version": price.version,
        "currency": price.currency, "prices": price.prices, "shown": prices_shown(price.prices, price.currency),
        "is_free": price.is_free, "valid_from": price.valid_from, "state": state,
    }  # fmt: skip


def terms_row(row: PriceTerms, state: str) -> dict[str, Any]:
    return {
        "object": "price_terms", "id": str(row.id), "version": row.version, "valid_from": row.valid_from,
        "terms": terms_shown(read_terms(row)), "state": state,
    }  # fmt: skip
