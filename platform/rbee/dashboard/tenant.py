"""Where somebody is: which of their tenants, or as the operator in the place of one."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from gdpr.duties import unrecorded
from rbee.dashboard.arrival import TENANT, forget_visit, remember_visit
from rbee.dashboard.base import Page, see
from tenants.domain.impersonation import end_impersonation
from tenants.rules import Capability

FIRST: Final = (
    (Capability.KEYS_READ, "dashboard_keys"),
    (Capability.GDPR_REQUEST, "dashboard_privacy"),
    (Capability.AUDIT_READ, "dashboard_audit"),
)


class Start(Page):
    """The first page that somebody may see."""

    capabilities = {"GET": Capability.ACCOUNT}

    def get(self, request: HttpRequest) -> HttpResponse:
        if self.arrival.caller is None:
            return redirect("dashboard_keys")  # where they are told why there is nothing
        return redirect(next((page for wanted, page in FIRST if self.may(wanted)), "dashboard_residency"))


class SwitchTenant(Page):
    """The counterpart of the header X-Tenant."""

    capabilities = {"POST": Capability.ACCOUNT}
    audits = {"POST": unrecorded("only which of their tenants this browser shows")}

    def post(self, request: HttpRequest) -> HttpResponse:
        if self.arrival.caller is not None:
            request.session[TENANT] = self.caller.tenant_slug
        return see("dashboard")


class Visit(Page):
    """Takes the token of an impersonation, which is sent and never part of an address."""

    capabilities = {"GET": Capability.PUBLIC, "POST": Capability.PUBLIC}
    audits = {"POST": unrecorded("the visit began when its token was made; each request in it is recorded")}

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "dashboard/visit.html")

    def post(self, request: HttpRequest) -> HttpResponse:
        if remember_visit(request, request.POST.get("token", "").strip()[:200]):
            return see("dashboard_keys")
        return render(
            request, "dashboard/visit.html", {"problem": "This visit is over, or never was."}, status=400
        )


class LeaveVisit(Page):
    """Ends the visit itself, not only in this browser."""

    capabilities = {"POST": Capability.ACCOUNT}
    audits = {"POST": "impersonation.ended"}

    def post(self, request: HttpRequest) -> HttpResponse:
        if self.arrival.visit is not None:
            end_impersonation(self.arrival.visit, actor=self.arrival.actor)
            forget_visit(request)
        return see("dashboard_keys")
