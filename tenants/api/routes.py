from django.urls import path

from tenants.api.alerts import Alerts, CloseAlert
from tenants.api.keys import Keys, OneKey
from tenants.api.tenancy import OneTenant, Projects, Tenants
from tenants.api.webhooks import (
    Deliveries,
    Events,
    OneDelivery,
    OneWebhook,
    PauseWebhook,
    PingWebhook,
    ReplayDelivery,
    ReplayWebhook,
    ResumeWebhook,
    RotateWebhook,
    Webhooks,
)

urlpatterns = [
    path("alerts", Alerts.as_view()),
    path("alerts/<uuid:alert>/close", CloseAlert.as_view()),
    path("keys", Keys.as_view()),
    path("keys/<slug:key>", OneKey.as_view()),
    path("tenants", Tenants.as_view()),
    path("tenants/<slug:slug>", OneTenant.as_view()),
    path("projects", Projects.as_view()),
    path("webhooks", Webhooks.as_view()),
    path("webhooks/events", Events.as_view()),
    path("webhooks/<uuid:webhook>", OneWebhook.as_view()),
    path("webhooks/<uuid:webhook>/test", PingWebhook.as_view()),
    path("webhooks/<uuid:webhook>/rotate", RotateWebhook.as_view()),
    path("webhooks/<uuid:webhook>/pause", PauseWebhook.as_view()),
    path("webhooks/<uuid:webhook>/resume", ResumeWebhook.as_view()),
    path("webhooks/<uuid:webhook>/replay", ReplayWebhook.as_view()),
    path("webhooks/<uuid:webhook>/deliveries", Deliveries.as_view()),
    path("webhooks/<uuid:webhook>/deliveries/<uuid:delivery>", OneDelivery.as_view()),
    path("webhooks/<uuid:webhook>/deliveries/<uuid:delivery>/replay", ReplayDelivery.as_view()),
]
