from django.urls import URLPattern, path

from billing.api.balance import Balances

from billing.api.discounts import TenantDiscounts
from billing.api.price_cards import (
    CardPrices,
    CardTerms,
    ExportCard,
    ImportCard,
    OneCardPrice,
    OneCardTerms,
    OnePriceCard,
    PriceCards,
)
from billing.api.what_if import WhatIf

urlpatterns: list[URLPattern] = [
    path("billing/balance", Balances.as_view()),
    path("price-cards", PriceCards.as_view()),
    path("price-cards/<slug:slug>", OnePriceCard.as_view()),
    path("price-cards/<slug:slug>/export", ExportCard.as_view()),
    path("price-cards/<slug:slug>/import", ImportCard.as_view()),
    path("price-cards/<slug:slug>/prices", CardPrices.as_view()),
    path("price-cards/<slug:slug>/prices/<uuid:version>", OneCardPrice.as_view()),
    path("price-cards/<slug:slug>/terms", CardTerms.as_view()),
    path("price-cards/<slug:slug>/terms/<uuid:version>", OneCardTerms.as_view()),
    path("prices/what-if", WhatIf.as_view()),
    path("tenants/<slug:slug>/discounts", TenantDiscounts.as_view()),
]
