from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import JSONRenderer

from billing.api import stripe_webhook
from inference.rest import agents
from inference.rest.admin_usage import CustomerUsage, UsageExport
from inference.rest.breaches import Breaches, BreachFacts, BreachNotice, CloseBreach, OneBreach
from inference.rest.content import ContentRetention, KeptContents, OneContent
from inference.rest.costs import CompareLists, CostReport, GpuCosts, ListPrices, Utilisation
from inference.rest.hives import HiveAttestation, Hives, JoinTokens, OneHive
from inference.rest.limits import Limits, OneTarget
from inference.rest.models import Models, OneModel
from inference.rest.policies import (
    ActivatePolicy,
    DryRunPolicy,
    DryRunSource,
    LogOfVersion,
    OnePolicy,
    Policies,
    PolicyDiff,
    PolicyLog,
    RollBackPolicy,
    Settings,
)
from inference.rest.prices import Prices
from inference.rest.reconciliation import OneDifference, OneReport, Reports, TaskExplanation
from inference.rest.status import Status
from inference.rest.tasks import OneDecision, Tasks
from inference.rest.usage import Usage, UsageSummary
from tenants.api.base import AlwaysJSON
from tenants.api.permissions import CanManage
from tenants.rules import Capability


class Schema(SpectacularAPIView):
    permission_classes = [CanManage]
    content_negotiation_class = AlwaysJSON
    renderer_classes = [JSONRenderer]
    capabilities = {"GET": Capability.TENANT_READ}


schema = Schema.as_view()

management: list[URLPattern | URLResolver] = [
    path("status", Status.as_view()),
    path("models", Models.as_view()),
    path("models/<path:name>", OneModel.as_view()),
    path("hives", Hives.as_view()),
    path("hives/join-tokens", JoinTokens.as_view()),
    path("hives/<str:name>", OneHive.as_view()),
    path("hives/<str:name>/attestation", HiveAttestation.as_view()),
    path("policies", Policies.as_view()),
    path("policies/dry-run", DryRunSource.as_view()),
    path("policies/log", PolicyLog.as_view()),
    path("policies/rollback", RollBackPolicy.as_view()),
    path("policies/settings", Settings.as_view()),
    path("policies/<uuid:version_id>", OnePolicy.as_view()),
    path("policies/<uuid:version_id>/activate", ActivatePolicy.as_view()),
    path("policies/<uuid:version_id>/diff", PolicyDiff.as_view()),
    path("policies/<uuid:version_id>/dry-run", DryRunPolicy.as_view()),
    path("policies/<uuid:version_id>/log", LogOfVersion.as_view()),
    path("limits", Limits.as_view()),
    re_path("^limits/(?P<kind>tenant|subject|project|key)/(?P<name>[A-Za-z0-9_-]+)$", OneTarget.as_view()),
    path("prices", Prices.as_view()),
    path("tasks", Tasks.as_view()),
    path("tasks/content", KeptContents.as_view()),
    path("tasks/<str:task>/content", OneContent.as_view()),
    path("tasks/<str:task>/decision", OneDecision.as_view()),
    path("usage", Usage.as_view()),
    path("usage/summary", UsageSummary.as_view()),
    path("billing/reconciliation", Reports.as_view()),
    path("billing/reconciliation/<uuid:report>", OneReport.as_view()),
    path("billing/differences/<uuid:difference>", OneDifference.as_view()),
    path("billing/tasks/<str:task>", TaskExplanation.as_view()),
    path("breaches", Breaches.as_view()),
    path("breaches/<uuid:breach>", OneBreach.as_view()),
    path("breaches/<uuid:breach>/close", CloseBreach.as_view()),
    path("breaches/<uuid:breach>/facts", BreachFacts.as_view()),
    path("breaches/<uuid:breach>/notice", BreachNotice.as_view()),
    path("costs/gpus", GpuCosts.as_view()),
    path("costs/report", CostReport.as_view()),
    path("costs/utilisation", Utilisation.as_view()),
    path("costs/list-prices", ListPrices.as_view()),
    path("costs/compare", CompareLists.as_view()),
    path("schema", schema),
    path("schema/", schema),
    path("", include("billing.api.routes")),
    path("", include("tenants.api.routes")),
]

urlpatterns = [
    path("api/v1/", include(management)),
    path("gdpr/content", ContentRetention.as_view()),
    path("gdpr/", include("tenants.api.gdpr_routes")),
    path("v1/organization/", include("inference.rest.organization.routes")),
    path("openai/v1/organization/", include("inference.rest.organization.routes")),
    path("stripe/webhook", stripe_webhook.receive),
    path("admin/usage/export", UsageExport.as_view()),
    path("admin/usage/<slug:customer>", CustomerUsage.as_view()),
    path("hive/v1/join", agents.join),
    path("hive/v1/placements", agents.placements),
    path("hive/v1/forgotten", agents.forgotten),
]
