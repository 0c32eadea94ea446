"""Consents (Art. 7 GDPR), of the tenant's account and of its end users: one click to give, one to withdraw. An end user is
named in a form and from there on by pseudonym, so that no name is in an address."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import NotFound

from gdpr.consent_models import Consent
from gdpr.duties import unrecorded
from gdpr.pseudonyms import subject_pseudonym
from gdpr.scope import tenant_tx
from rbee.dashboard.actors import named
from rbee.dashboard.base import Page, SeeOther, see
from rbee.dashboard.consent_rows import rows_of
from tenants.api.base import page_of
from tenants.api.data_requests import SUBJECT_MAX
from tenants.domain.consents import (
    ACCOUNT,
    PURPOSE,
    ConsentRefused,
    NoConsent,
    give_consent,
    withdraw_consent,
)
from tenants.rules import Capability

ON_A_PAGE: Final = 50
GIVE, WITHDRAW = "give", "withdraw"
PSEUDONYM: Final = re.compile("[0-9a-f]{32}")


class EndUserForm(forms.Form):
    subject = forms.CharField(
        label="Consents of an end user",
        max_length=SUBJECT_MAX,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
        help_text="As your requests say it: user, or safety_identifier.",
    )


class AnswerForm(forms.Form):
    answer = forms.ChoiceField(choices=[(GIVE, GIVE), (WITHDRAW, WITHDRAW)])
    purpose = forms.RegexField(PURPOSE)
    subject = forms.RegexField(f"^{PSEUDONYM.pattern}\\Z", required=False)
    text_sha256 = forms.RegexField("^[0-9a-f]{64}\\Z", required=False)
    locale = forms.CharField(max_length=35, required=False)


class ConsentPage(Page):
    section = "consents"

    def consents(self, subject: str, form: EndUserForm | None = None, status: int = 200) -> HttpResponse:
        """`subject`: the pseudonym of an end user, or ACCOUNT."""
        caller, cursor = self.caller, self.request.GET.get("cursor", "")[:64]
        with tenant_tx(caller.tenant_id):
            history, older = page_of(
                Consent.objects.filter(subject=subject), {"limit": ON_A_PAGE, "cursor": cursor}
            )
        people = named([one.actor for one in history], caller=caller, me=self.arrival.actor)
        shown: dict[str, Any] = {
            "subject": subject,
            "rows": rows_of(UUID(caller.tenant_id), subject),
            "history": [(one, people[one.actor]) for one in history],
            "next": older and urlencode({"cursor": older}),
            "form": form or EndUserForm(label_suffix=""),
        }
        return self.page("consents.html", shown, status)


class Consents(ConsentPage):
    capabilities = {"GET": Capability.GDPR_REQUEST}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.consents(ACCOUNT)


class EndUserConsents(ConsentPage):
    capabilities = {"GET": Capability.GDPR_REQUEST}

    def get(self, request: HttpRequest, subject: str) -> HttpResponse:
        if not PSEUDONYM.fullmatch(subject):
            raise NotFound("There is no such end user.")
        return self.consents(subject)


class FindEndUser(ConsentPage):
    capabilities = {"POST": Capability.GDPR_REQUEST}
    audits = {"POST": unrecorded("only which page is shown next")}

    def post(self, request: HttpRequest) -> HttpResponse:
        form = EndUserForm(request.POST, label_suffix="")
        if not form.is_valid():
            return self.consents(ACCOUNT, form, 400)
        return see(
            "dashboard_consents_of",
            subject_pseudonym(self.caller.tenant_id, form.cleaned_data["subject"]),
        )


class AnswerConsent(ConsentPage):
    capabilities = {"POST": Capability.GDPR_REQUEST}
    audits = {"POST": ("consent.given", "consent.withdrawn")}

    def post(self, request: HttpRequest) -> HttpResponse:
        form = AnswerForm(request.POST)
        if not form.is_valid():
            messages.warning(request, "That was no answer to any purpose.")
            return see("dashboard_consents")
        said = form.cleaned_data
        whose = {"subject": said["subject"], "purpose": said["purpose"], "actor": self.arrival.actor}
        try:
            if said["answer"] == GIVE:
                give_consent(
                    UUID(self.caller.tenant_id),
                    text_sha256=said["text_sha256"],
                    locale=said["locale"],
                    **whose,
                )
            else:
                withdraw_consent(UUID(self.caller.tenant_id), **whose)
        except ConsentRefused as refused:
            messages.warning(request, str(refused))
        except NoConsent:
            messages.warning(request, "There never was a consent to this.")
        return self._back(said["subject"])

    def _back(self, subject: str) -> SeeOther:
        return see("dashboard_consents_of", subject) if subject else see("dashboard_consents")
