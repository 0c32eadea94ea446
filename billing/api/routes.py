from django.urls import path

from billing.api import stripe, stripe_operator

urlpatterns = [
    path("billing/auto-recharge", stripe.AutoRecharging.as_view()),
    path("billing/cards", stripe.Cards.as_view()),
    path("billing/checkout", stripe.Checkout.as_view()),
    path("billing/disputes/<uuid:reversal>/close", stripe.CloseDispute.as_view()),
    path("billing/payments", stripe.Payments.as_view()),
    path("billing/payments/<uuid:payment>", stripe.OnePayment.as_view()),
    path("billing/payments/<uuid:payment>/refunds", stripe.Refunds.as_view()),
    path("billing/portal", stripe.Portal.as_view()),
    path("billing/seller", stripe_operator.Seller.as_view()),
    path("billing/seller/onboarding", stripe_operator.Onboarding.as_view()),
    path("billing/buyer", stripe_operator.Buyer.as_view()),
    path("billing/stripe", stripe_operator.StripeState.as_view()),
    path("billing/stripe/meters", stripe_operator.Meters.as_view()),
    path("billing/stripe/meters/<slug:name>", stripe_operator.OneMeter.as_view()),
    path("billing/stripe/plans/<slug:slug>", stripe_operator.PlanPrice.as_view()),
    path("billing/subscription", stripe.Subscription.as_view()),
]
