from django.urls import URLPattern, path

from billing.api.accounts import Account, Credits, Payments, SellerView
from billing.api.balance import Balances
from billing.api.discounts import TenantDiscounts
from billing.api.invoices import (
    CreditInvoice,
    InvoicePdf,
    Invoices,
    OneInvoice,
    UpcomingInvoices,
    VoidInvoice,
    WriteOffInvoice,
)
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
    path("billing/account", Account.as_view()),
    path("billing/credits", Credits.as_view()),
    path("billing/payments", Payments.as_view()),
    path("billing/seller", SellerView.as_view()),
    path("invoices", Invoices.as_view()),
    path("invoices/upcoming", UpcomingInvoices.as_view()),
    path("invoices/<slug:number>", OneInvoice.as_view()),
    path("invoices/<slug:number>/credit", CreditInvoice.as_view()),
    path("invoices/<slug:number>/pdf", InvoicePdf.as_view()),
    path("invoices/<slug:number>/void", VoidInvoice.as_view()),
    path("invoices/<slug:number>/write-off", WriteOffInvoice.as_view()),
]
