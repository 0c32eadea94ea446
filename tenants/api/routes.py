from django.urls import path

from tenants.api.account import Account, Operators, OwnMembership, OwnTenants
from tenants.api.alerts import Alerts, CloseAlert
from tenants.api.audit import AuditLog, OneAuditEntry
from tenants.api.impersonations import BeginImpersonation, Impersonations, OneImpersonation
from tenants.api.invitations import AcceptInvitation, Invitations, OneInvitation
from tenants.api.key_leaks import ReportLeak
from tenants.api.keys import Keys, OneKey, RotateKey
from tenants.api.members import Members, OneMember
from tenants.api.plans import OnePlan, Plans
from tenants.api.projects import OneProject, Projects
from tenants.api.single_sign_on import SingleSignOn
from tenants.api.tenancy import (
    OneTenant,
    RestoreTenant,
    ResumeTenant,
    SuspendTenant,
    Tenants,
    TransferTenant,
)
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
    path("audit", AuditLog.as_view()),
    path("audit/<uuid:entry>", OneAuditEntry.as_view()),
    path("keys", Keys.as_view()),
    path("keys/report-leak", ReportLeak.as_view()),
    path("keys/<slug:key>", OneKey.as_view()),
    path("keys/<slug:key>/rotate", RotateKey.as_view()),
    path("tenants", Tenants.as_view()),
    path("tenants/<slug:slug>", OneTenant.as_view()),
    path("tenants/<slug:slug>/suspend", SuspendTenant.as_view()),
    path("tenants/<slug:slug>/resume", ResumeTenant.as_view()),
    path("tenants/<slug:slug>/restore", RestoreTenant.as_view()),
    path("tenants/<slug:slug>/transfer", TransferTenant.as_view()),
    path("tenants/<slug:slug>/sso", SingleSignOn.as_view()),
    path("tenants/<slug:slug>/impersonations", BeginImpersonation.as_view()),
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
    path("projects/<slug:project>", OneProject.as_view()),
    path("members", Members.as_view()),
    path("members/<uuid:member>", OneMember.as_view()),
    path("invitations", Invitations.as_view()),
    path("invitations/accept", AcceptInvitation.as_view()),
    path("invitations/<uuid:invitation>", OneInvitation.as_view()),
    path("plans", Plans.as_view()),
    path("plans/<slug:slug>", OnePlan.as_view()),
    path("impersonations", Impersonations.as_view()),
    path("impersonations/<uuid:visit>", OneImpersonation.as_view()),
    path("account", Account.as_view()),
    path("account/tenants", OwnTenants.as_view()),
    path("account/memberships/<slug:slug>", OwnMembership.as_view()),
    path("operators", Operators.as_view()),
]
