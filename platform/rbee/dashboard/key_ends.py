"""How keys end: revoked, or reported as leaked. Both say first what that means."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from rbee.dashboard.base import see
from rbee.dashboard.key_forms import LeakForm
from rbee.dashboard.key_rows import rows_of
from rbee.dashboard.keys import KeyPage
from tenants.domain.key_leaks import end_leaked_key
from tenants.domain.keys import revoke_api_key
from tenants.models import ApiKey
from tenants.rules import Capability


class RevokeKey(KeyPage):
    capabilities = {"GET": Capability.KEYS_WRITE, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.revoked"}

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        return self.key_page("key_revoke.html", self.found(key), {})

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        found = self.found(key)
        revoke_api_key(found, actor=self.arrival.actor)
        return see("dashboard_key", found.id)


class LeakedKey(KeyPage):
    """A value of before a rotation may be the one that leaked, and then the key goes on."""

    capabilities = {"GET": Capability.KEYS_WRITE, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.leak_reported"}

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        found = self.found(key)
        return self._page(found, self._form(found))

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        found = self.found(key)
        form = self._form(found, request)
        if form is not None and not form.is_valid():
            return self._page(found, form, 400)
        is_old = form is not None and form.cleaned_data["value"] == "old"
        end_leaked_key(found, actor=self.arrival.actor, is_old=is_old)
        return see("dashboard_key", found.id)

    def _form(self, key: ApiKey, request: HttpRequest | None = None) -> LeakForm | None:
        """None where there is one value only."""
        (row,) = rows_of(self.caller, [key])
        return LeakForm(request.POST if request else None, key=key) if row.has_old_value else None

    def _page(self, key: ApiKey, form: LeakForm | None, status: int = 200) -> HttpResponse:
        return self.key_page("key_leaked.html", key, {"form": form}, status)
