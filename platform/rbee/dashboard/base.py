"""What every page of the dashboard shares: who may see it, by the table of rights of the management API; how it is
refused; and that no browser and no proxy keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.response import HttpResponseRedirectBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View
from rest_framework.exceptions import APIException, PermissionDenied

from gdpr.domain.audit import answered_request, asked_from
from gdpr.duties import Duty
from gdpr.ids import uuid7
from inference.rest.refusals import REFUSED, hand_over_of
from rbee.dashboard.arrival import Arrival, find_arrival
from rbee.pages import problem
from tenants.api.addresses import source_of
from tenants.api.permissions import wanted_by, why_not
from tenants.domain.authentication import Caller, Person
from tenants.domain.repeats import AnotherBody, Made, answer_once
from tenants.domain.rights import capabilities_of, is_operators, may
from tenants.enums import TenantStatus
from tenants.rules import Capability

TITLES: Mapping[int, str] = {
    400: "That makes no sense",
    403: "This is not yours to do",
    404: "There is nothing here",
}
NO_TENANT = "You are a member of no tenant. Ask an administrator of one to invite you."


class SeeOther(HttpResponseRedirectBase):
    """After a form: the browser GETs, so that going back or reloading sends nothing again."""

    status_code = 303


class Page(View):
    # By method; a tuple holds alternatives. What is not here is closed.
    capabilities: ClassVar[Mapping[str, Capability | tuple[Capability, ...]]] = {}
    audits: ClassVar[Mapping[str, Duty]] = {}  # `gdpr.duties`
    section: ClassVar[str] = ""  # of the navigation
    http_method_names = ["get", "post", "head", "options"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answered_request.set(f"req_{uuid7().hex}")
        asked_from.set(source_of(request, is_operators=True))  # as a visit is, which is noted on its arrival
        try:
            response = self._answer(request, *args, **kwargs)
        except (APIException, Http404) as error:
            response = self._refusal(error)
        finally:
            answered_request.set("")
            asked_from.set(None)
        # Pages hold what is a tenant's, and some show a secret.
        response.headers["Cache-Control"] = "no-store"
        return response

    @property
    def arrival(self) -> Arrival:
        assert self._arrival is not None, "who has not arrived is sent to log in"
        return self._arrival

    @property
    def caller(self) -> Caller:
        assert self.arrival.caller is not None, "who is in no tenant is refused"
        return self.arrival.caller

    def page(self, template: str, shown: Mapping[str, Any], status: int = 200) -> HttpResponse:
        caller = self.arrival.caller
        about = {
            "arrival": self.arrival,
            "caller": caller,
            "can": capabilities_of(caller) if caller else frozenset(),
            "frozen": caller.status if isinstance(caller, Person) and caller.status != TenantStatus.ACTIVE else "",
            "section": self.section,
        }  # fmt: skip
        return render(self.request, f"dashboard/{template}", {**about, **shown}, status=status)

    def may(self, *wanted: Capability) -> bool:
        return may(self.caller, *wanted)

    def _answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        wanted = wanted_by(self, request.method or "")
        self._arrival: Arrival | None = None
        self._arrival = find_arrival(request)
        if Capability.PUBLIC not in wanted:
            if self._arrival is None:
                return _to_log_in(request)
            caller = self._arrival.caller
            if Capability.ACCOUNT not in wanted:
                if caller is None:
                    raise PermissionDenied(NO_TENANT)
                if capabilities_of(caller).isdisjoint(wanted):
                    raise PermissionDenied(why_not(caller, wanted))
            asked_from.set(source_of(request, is_operators=caller is not None and is_operators(caller)))
        return super().dispatch(request, *args, **kwargs)

    def _refusal(self, error: APIException | Http404) -> HttpResponse:
        status = error.status_code if isinstance(error, APIException) else 404
        message = (
            _words(error.detail) if isinstance(error, APIException) else "There is nothing here by that name."
        )
        title = TITLES.get(status, "That did not work")
        if self._arrival is not None and status in REFUSED:
            hand_over_of(self.request, self._arrival.caller, self._arrival.actor, status, "permission_denied")
        if self._arrival is None:
            return problem(self.request, status, title, message)
        return self.page("problem.html", {"title": title, "message": message}, status)


class Once:
    """A form that shows a secret in answer to it is good for one time: sending it again, as a browser does that reloads the
    answer, makes nothing and shows nothing again."""

    FIELD = "once"

    def __init__(self, page: Page) -> None:
        self.page = page

    @staticmethod
    def fresh() -> str:
        return uuid4().hex

    def do(self, body: Mapping[str, Any], make: Callable[[], str]) -> tuple[str, bool]:
        """`make` returns the name of what it made. That name, and whether it was made at an earlier time. Raises
        AnotherBody, and whatever `make` raises."""
        token = self.page.request.POST.get(self.FIELD, "")[:64]
        asked = (str(self.page.arrival.actor), self.page.request.path, token)

        def answer() -> Made:
            name = msgspec.json.encode({"made": make()})
            return Made(201, name, name)

        if not token:
            raise AnotherBody
        kept = answer_once(self.page.caller.tenant_id, asked, dict(body), answer)
        return kept.data["made"], kept.is_repeated


def _words(detail: Any) -> str:
    while isinstance(detail, dict | list) and detail:
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail))
    return str(detail)


def see(name: str, *args: Any) -> SeeOther:
    return SeeOther(reverse(name, args=args))


def _to_log_in(request: HttpRequest) -> HttpResponse:
    back = request.get_full_path() if request.method in {"GET", "HEAD"} else request.path
    where = f"{reverse('account_login')}?{urlencode({'next': back})}"
    if "HX-Request" in request.headers:  # the whole page goes there, not the part that was asked for
        return HttpResponse(status=401, headers={"HX-Redirect": where})
    return redirect(where)
