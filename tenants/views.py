"""The one page that allauth does not have: where an invitation leads."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from tenants.domain.accounts import find_user
from tenants.domain.invitations import accept, open_invitation
from tenants.domain.tenancy import TenantRefused
from tenants.models import Invitation, User

TEMPLATE = "tenants/invitation.html"


class FirstAccount(forms.Form):
    name = forms.CharField(max_length=200, required=False)
    password = forms.CharField(max_length=128, strip=False, widget=forms.PasswordInput)


@method_decorator(never_cache, name="dispatch")
class Invited(View):
    audits = {"POST": "invitation.accepted"}

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self._page(request, open_invitation(token))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        user = request.user if isinstance(request.user, User) else None
        name, password = request.POST.get("name", "")[:200], request.POST.get("password", "")[:128]
        try:
            accept(token, user=user, name=name, password=password)
        except TenantRefused as refused:
            return self._page(request, open_invitation(token), str(refused))
        return redirect(settings.LOGIN_REDIRECT_URL if user else "account_login")

    def _page(self, request: HttpRequest, invitation: Invitation | None, problem: str = "") -> HttpResponse:
        if invitation is None:
            return render(request, TEMPLATE, {"invitation": None}, status=404)
        has_account = find_user(invitation.email) is not None
        is_theirs = isinstance(request.user, User) and request.user.email == invitation.email
        shown: dict[str, Any] = {
            "invitation": invitation,
            "form": None if has_account else FirstAccount(),
            "login_first": has_account and not is_theirs,
            "problem": problem,
        }
        return render(request, TEMPLATE, shown, status=400 if problem else 200)
