"""Exports and erasures of personal data: of one's own account, and of the tenant and its end users for who is in charge of
them. `privacy_erasure` has how an erasure is asked for, `privacy_request` what becomes of either."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import NotFound, PermissionDenied

from gdpr.domain.exports import begin_export
from gdpr.holding import Identity, Whose
from gdpr.pseudonyms import subject_pseudonym
from gdpr.request_models import RequestKind, RequestState
from gdpr.scope import colony_tx
from rbee.dashboard.base import NO_TENANT, Page, see
from rbee.dashboard.privacy_rows import rows_of
from tenants.api.base import page_of
from tenants.api.data_requests import EITHER, SUBJECT_MAX
from tenants.domain.data_requests import Asker, requests_asked_or_in_charge
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.models import User

ON_A_PAGE: Final = 20
KINDS: Final = (RequestKind.EXPORT, RequestKind.ERASURE)  # imports are the operator's
NOT_IN_CHARGE: Final = "For a tenant or its end users this takes its owner or its data-protection officer."
NOT_A_PERSON: Final = "Log in: an account is a person's."
FORMATS: Final = (("", "JSON and CSV"), ("json", "JSON"), ("csv", "CSV, for a spreadsheet"))


class ExportForm(forms.Form):
    format = forms.ChoiceField(choices=FORMATS, required=False)


class SubjectExportForm(ExportForm):
    subject = forms.CharField(
        label="Name of the end user",
        max_length=SUBJECT_MAX,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
        help_text="As your requests say it: user, or safety_identifier. It is not kept, only a pseudonym of it.",
    )
    field_order = ["subject", "format"]


FORMS: Final = {Whose.PERSON: ExportForm, Whose.TENANT: ExportForm, Whose.SUBJECT: SubjectExportForm}


class PrivacyPage(Page):
    section = "privacy"

    @property
    def asker(self) -> Asker:
        """Raises PermissionDenied for who has neither an account here nor a tenant to answer for."""
        arrival = self.arrival
        # An operator in a tenant's place is there as nobody's account.
        user = self.request.user if arrival.visit is None and isinstance(self.request.user, User) else None
        asker = Asker(arrival.actor, user, arrival.caller)
        if user is None and not asker.is_in_charge:
            raise PermissionDenied(NO_TENANT if arrival.caller is None else NOT_IN_CHARGE)
        return asker

    def whose(self, name: str) -> Whose:
        """Raises NotFound, and PermissionDenied for what the caller has no say in."""
        if name not in set(Whose):
            raise NotFound("There is nothing here by that name.")
        whose, asker = Whose(name), self.asker
        if whose is Whose.PERSON and asker.user is None:
            raise PermissionDenied(NOT_A_PERSON)
        if whose is not Whose.PERSON and not asker.is_in_charge:
            raise PermissionDenied(NOT_IN_CHARGE)
        return whose

    def identity(self, whose: Whose, subject: str = "") -> Identity:
        """Of what `whose` let pass."""
        if whose is Whose.PERSON:
            assert self.asker.user is not None, "an account is that of who is logged in"
            return Identity(whose, id=self.asker.user.id)
        tenant_id = UUID(self.caller.tenant_id)
        if whose is Whose.TENANT:
            return Identity(whose, tenant_id=tenant_id)
        return Identity(whose, tenant_id=tenant_id, subject=subject_pseudonym(tenant_id.hex, subject))


class Overview(PrivacyPage):
    def overview(self, filled: dict[Whose, forms.Form] | None = None, status: int = 200) -> HttpResponse:
        """`filled`: forms that were sent, with what is wrong with them."""
        asker, query = self.asker, self.request.GET
        kind = query.get("kind", "")
        kind = kind if kind in KINDS else ""
        with colony_tx("requests of a person or a tenant"):
            asked = requests_asked_or_in_charge(asker).filter(kind__in=[kind] if kind else KINDS)
            paging = {"limit": ON_A_PAGE, "cursor": query.get("cursor", "")[:64]}
            found, cursor = page_of(asked, paging)
            own = asked.model.objects.filter(
                kind=RequestKind.ERASURE,
                state=RequestState.GRACE,
                person_id=asker.user.id if asker.user else None,
            ).first()
        shown: dict[str, Any] = {
            "asker": asker,
            "own_erasure": own if asker.user else None,
            "may_end_tenant": asker.may_end_tenant and self._is_customer(),
            "forms": {
                str(whose): (filled or {}).get(whose) or form(auto_id=f"{whose}-%s", label_suffix="")
                for whose, form in FORMS.items()
            },
            "rows": rows_of(found, caller=asker.caller, me=asker.actor),
            "kinds": [(one.value, one.label) for one in KINDS],
            "kind": kind,
            "next": cursor and urlencode({"kind": kind, "cursor": cursor}),
        }
        return self.page("privacy.html", shown, status)

    def _is_customer(self) -> bool:
        return self.arrival.caller is not None and self.caller.tenant_slug not in OPERATOR_TENANTS


class Privacy(Overview):
    capabilities = {"GET": EITHER}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.overview()


class AskForExport(Overview):
    capabilities = {"POST": EITHER}
    audits = {"POST": "gdpr.export.requested"}

    def post(self, request: HttpRequest, whose: str) -> HttpResponse:
        """Leads to the one that is being made, or is ready, if there is one."""
        of = self.whose(whose)
        form = FORMS[of](request.POST, auto_id=f"{of}-%s", label_suffix="")
        if not form.is_valid():
            return self.overview({of: form}, 400)
        export = begin_export(
            self.identity(of, form.cleaned_data.get("subject", "")),
            format=form.cleaned_data["format"],
            actor=self.asker.actor,
            reuses=True,
        )
        return see("dashboard_privacy_request", export.id)
