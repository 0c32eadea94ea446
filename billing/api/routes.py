from django.urls import URLPattern, path

from billing.api.balance import Balances

urlpatterns: list[URLPattern] = [
    path("billing/balance", Balances.as_view()),
]
