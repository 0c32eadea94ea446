from django.urls import path

from inference.rest.organization.audit import AuditLogs
from inference.rest.organization.keys import (
    AdminKeys,
    OneAdminKey,
    OneProjectKey,
    OneServiceAccount,
    ProjectKeys,
    ServiceAccounts,
)
from inference.rest.organization.people import (
    Invites,
    OneInvite,
    OneProjectUser,
    OneUser,
    ProjectUsers,
    Users,
)
from inference.rest.organization.projects import ArchiveProject, OneProject, Projects
from inference.rest.organization.rate_limits import OneRateLimit, RateLimits
from inference.rest.organization.usage import KINDS, Costs, usage_view

urlpatterns = [
    path("admin_api_keys", AdminKeys.as_view()),
    path("admin_api_keys/<str:key>", OneAdminKey.as_view()),
    path("audit_logs", AuditLogs.as_view()),
    path("costs", Costs.as_view()),
    path("invites", Invites.as_view()),
    path("invites/<str:invite>", OneInvite.as_view()),
    path("projects", Projects.as_view()),
    path("projects/<str:project>", OneProject.as_view()),
    path("projects/<str:project>/api_keys", ProjectKeys.as_view()),
    path("projects/<str:project>/api_keys/<str:key>", OneProjectKey.as_view()),
    path("projects/<str:project>/archive", ArchiveProject.as_view()),
    path("projects/<str:project>/rate_limits", RateLimits.as_view()),
    path("projects/<str:project>/rate_limits/<str:rate_limit>", OneRateLimit.as_view()),
    path("projects/<str:project>/service_accounts", ServiceAccounts.as_view()),
    path("projects/<str:project>/service_accounts/<str:account>", OneServiceAccount.as_view()),
    path("projects/<str:project>/users", ProjectUsers.as_view()),
    path("projects/<str:project>/users/<str:user>", OneProjectUser.as_view()),
    *(path(f"usage/{kind}", usage_view(kind)) for kind in KINDS),
    path("users", Users.as_view()),
    path("users/<str:user>", OneUser.as_view()),
]
