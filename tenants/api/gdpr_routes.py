from django.urls import path

from tenants.api.consents import Consents, ConsentTexts, OneConsent

urlpatterns = [
    path("consents", Consents.as_view()),
    path("consents/<slug:purpose>", OneConsent.as_view()),
    path("consent-texts", ConsentTexts.as_view()),
]
