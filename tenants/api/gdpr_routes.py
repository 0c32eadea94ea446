"""What the law lets tenants and operators ask, below /gdpr/."""

from django.urls import path

from tenants.api.audit import AuditEntries
from tenants.api.audit_export import AuditExport
from tenants.api.audit_retention import AuditRetention

urlpatterns = [
    path("audit/entries", AuditEntries.as_view()),
    path("audit/export", AuditExport.as_view()),
    path("audit/retention", AuditRetention.as_view()),
]
