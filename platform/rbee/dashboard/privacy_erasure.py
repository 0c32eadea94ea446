"""Asking for an erasure: what goes and what stays is said before, and a name is typed, so that nobody erases another by
mistake."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from rest_framework.exceptions import PermissionDenied

from gdpr.holding import Whose
from rbee.dashboard.base import SeeOther, see
from rbee.dashboard.privacy import PrivacyPage
from rbee.dashboard.privacy_plan import plan_of
from tenants.api.data_requests import EITHER, SUBJECT_MAX
from tenants.api.recency import is_login_recent
from tenants.domain.data_requests import NotTheirs, erase
from tenants.domain.tenancy import StateRefused

PLAIN: Final = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


class ErasureForm(forms.Form):
    confirm = forms.CharField(max_length=SUBJECT_MAX, strip=False, widget=forms.TextInput(attrs=PLAIN))

    def __init__(self, *args: Any, wanted: str, **named: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **named})
        self.wanted = wanted
        self.fields["confirm"].label = f"Write {wanted} to confirm"

    def clean_confirm(self) -> str:
        given: str = self.cleaned_data["confirm"]
        if given.strip() != self.wanted:
            raise forms.ValidationError(f"This is not {self.wanted}.")
        return given


class AccountErasureForm(ErasureForm):
    def clean_confirm(self) -> str:
        given: str = self.cleaned_data["confirm"]
        if given.strip().lower() != self.wanted:
            raise forms.ValidationError(f"This is not {self.wanted}.")
        return given


class SubjectErasureForm(forms.Form):
    subject = forms.CharField(
        label="Name of the end user",
        max_length=SUBJECT_MAX,
        strip=False,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="As your requests say it: user, or safety_identifier. It is not kept, only a pseudonym of it.",
    )
    confirm = forms.CharField(
        label="Write it once more to confirm",
        max_length=SUBJECT_MAX,
        strip=False,
        widget=forms.TextInput(attrs=PLAIN),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = dict(self.cleaned_data)
        if "confirm" in cleaned and cleaned["confirm"] != cleaned.get("subject"):
            self.add_error("confirm", "This is another name.")
        return cleaned


class AskForErasure(PrivacyPage):
    capabilities = {"GET": EITHER, "POST": EITHER}
    audits = {"POST": "gdpr.erasure.requested"}

    def get(self, request: HttpRequest, whose: str) -> HttpResponse:
        of = self._allowed(whose)
        return self._to_confirm_login() or self._page(of, self._form(of))

    def post(self, request: HttpRequest, whose: str) -> HttpResponse:
        of = self._allowed(whose)
        if to_confirm := self._to_confirm_login():
            return to_confirm
        form = self._form(of, request.POST)
        if not form.is_valid():
            return self._page(of, form, 400)
        identity = self.identity(of, form.cleaned_data.get("subject", ""))
        try:
            erasure = erase(self.asker, identity)
        except StateRefused as refused:
            form.add_error("confirm", str(refused))
            return self._page(of, form, 409)
        except NotTheirs as refused:
            raise PermissionDenied(str(refused)) from None
        return see("dashboard_privacy_request", erasure.id)

    def _allowed(self, name: str) -> Whose:
        of = self.whose(name)
        if of is Whose.TENANT and not self.asker.may_end_tenant:
            raise PermissionDenied("A tenant is its owner's to erase.")
        return of

    def _to_confirm_login(self) -> HttpResponse | None:
        """Whoever finds an open browser erases nobody."""
        if self.asker.user is None or is_login_recent(self.request):
            return None
        return SeeOther(f"{reverse('account_reauthenticate')}?{urlencode({'next': self.request.path})}")

    def _form(self, of: Whose, data: Any = None) -> forms.Form:
        if of is Whose.SUBJECT:
            return SubjectErasureForm(data, label_suffix="")
        if of is Whose.TENANT:
            return ErasureForm(data, wanted=self.caller.tenant_slug)
        assert self.asker.user is not None, "an account is that of who is logged in"
        return AccountErasureForm(data, wanted=self.asker.user.email)

    def _page(self, of: Whose, form: forms.Form, status: int = 200) -> HttpResponse:
        days = {
            Whose.PERSON: settings.RBEE.grace_account_days,
            Whose.TENANT: settings.RBEE.grace_tenant_days,
            Whose.SUBJECT: settings.RBEE.grace_subject_days,
        }[of]
        shown = {
            "form": form,
            "whose": str(of),
            "plan": plan_of(of),
            "grace_days": days,
            "backup_days": settings.RBEE.backup_days,
        }
        return self.page("privacy_erasure.html", shown, status)
