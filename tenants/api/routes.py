from django.urls import path

from tenants.api.keys import Keys, OneKey
from tenants.api.tenancy import OneTenant, Projects, Tenants

urlpatterns = [
    path("keys", Keys.as_view()),
    path("keys/<slug:key>", OneKey.as_view()),
    path("tenants", Tenants.as_view()),
    path("tenants/<slug:slug>", OneTenant.as_view()),
    path("projects", Projects.as_view()),
]
