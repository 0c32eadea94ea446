from django.urls import URLPattern, path

from billing.api import stripe, stripe_operator
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
    path("billing/auto-recharge", stripe.AutoRecharging.as_view()),
    path("billing/cards", stripe.Cards.as_view()),
    path("billing/checkout", stripe.Checkout.as_view()),
    path("billing/disputes/<uuid:reversal>/close", stripe.CloseDispute.as_view()),
    path("billing/payments/<uuid:payment>", stripe.OnePayment.as_view()),
    path("billing/payments/<uuid:payment>/refunds", stripe.Refunds.as_view()),
    path("billing/portal", stripe.Portal.as_view()),
    path("billing/connect", stripe_operator.Connected.as_view()),
    path("billing/connect/onboarding", stripe_operator.Onboarding.as_view()),
    path("billing/connect/buyer", stripe_operator.Buyer.as_view()),
    path("billing/stripe", stripe_operator.StripeState.as_view()),
    path("billing/stripe/meters", stripe_operator.Meters.as_view()),
    path("billing/stripe/meters/<slug:name>", stripe_operator.OneMeter.as_view()),
    path("billing/stripe/plans/<slug:slug>", stripe_operator.PlanPrice.as_view()),
    path("billing/subscription", stripe.Subscription.as_view()),
]
