from django.urls import URLPattern, path

from billing.api.accounts import Account, Credits, Payments, SellerView
from billing.api.invoices import (
    CreditInvoice,
    InvoicePdf,
    Invoices,
    OneInvoice,
    UpcomingInvoices,
    VoidInvoice,
    WriteOffInvoice,
)

urlpatterns: list[URLPattern] = [
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
