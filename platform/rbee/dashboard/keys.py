"""The tenant's API keys: the list, one of them, making and rotating. `key_ends` has how they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import PermissionDenied

from gdpr.scope import tenant_tx
from rbee.dashboard.base import Once, Page, see
from rbee.dashboard.key_forms import KeyChangeForm, NewKeyForm, RotationForm
from rbee.dashboard.key_rows import currency_of, rows_of
from tenants.api.base import page_of
from tenants.api.etags import ChangedMeanwhile, etag_of, unchanged_since
from tenants.api.key_fields import KEY_STATUSES, KeyOut
from tenants.api.keys import filtered_keys, find_key, steady
from tenants.api.tenancy import find_project, find_tenant
from tenants.domain.keys import KeyIsOver, KeyRefused, issue_api_key, rotate_api_key, update_api_key
from tenants.domain.limit_shape import LimitsRefused
from tenants.domain.repeats import AnotherBody
from tenants.domain.rights import may_grant_scopes
from tenants.enums import KeyScope
from tenants.models import ApiKey, Project
from tenants.rules import Capability

ON_A_PAGE: Final = 50
ALL: Final = "all"
ANOTHER_BODY: Final = (
    "This form was sent before with something else in it. Look at your keys, then send it again."
)
OVER: Final = "This key is revoked or expired, and is not changed any more."


class KeyPage(Page):
    section = "keys"

    def found(self, name: str) -> ApiKey:
        """Raises NotFound, for a foreign key as for one that is not there."""
        with tenant_tx(self.caller.tenant_id):
            return find_key(name)

    def changeable(self, name: str) -> ApiKey:
        """Raises PermissionDenied: who may do less than the key could take it over."""
        key = self.found(name)
        if not may_grant_scopes(self.caller, frozenset(key.scopes)):
            raise PermissionDenied("This key may do more than you; ask an administrator.")
        return key

    def key_page(self, template: str, key: ApiKey, shown: dict[str, Any], status: int = 200) -> HttpResponse:
        (row,) = rows_of(self.caller, [key])
        return self.page(template, {"row": row, "key": key, **shown}, status)

    def secret_page(
        self, key: ApiKey, secret: str, *, is_rotated: bool, is_own: bool = False
    ) -> HttpResponse:
        """The one answer that shows a key. `is_own`: it was brought along, and is known to who brought it."""
        path = "/v1/models" if KeyScope.INFERENCE in key.scopes else "/api/v1/keys"
        if key.scopes == [KeyScope.GDPR]:
            path = "/gdpr/consents"
        shown = {
            "secret": "" if is_own else secret,
            "url": f"{settings.RBEE.public_url}{path}",
            "is_rotated": is_rotated,
        }
        return self.key_page("key_secret.html", key, shown, 201)

    def form_options(self) -> dict[str, Any]:
        return {"currency": currency_of(self.caller), "may_limit": self.may(Capability.LIMITS_WRITE)}


class Keys(KeyPage):
    capabilities = {"GET": Capability.KEYS_READ}

    def get(self, request: HttpRequest) -> HttpResponse:
        project, status = request.GET.get("project", "")[:50], request.GET.get("status", "")
        status = status if status in {*KEY_STATUSES, ALL} else ""
        with tenant_tx(self.caller.tenant_id):
            query = {
                "tenant": "", "scope": "", "name": "", "project": project,
                "status": "" if status == ALL else status, "include_revoked": status == ALL,
                "limit": ON_A_PAGE, "cursor": request.GET.get("cursor", "")[:64],
            }  # fmt: skip
            keys = ApiKey.objects.select_related("tenant", "project")
            found, cursor = page_of(filtered_keys(keys, query), query)
            shown = {
                "rows": rows_of(self.caller, found),
                "projects": list(Project.objects.order_by("slug")),
                "project": project,
                "status": status,
                "statuses": [*KEY_STATUSES, ALL],
                "next": cursor and urlencode({"project": project, "status": status, "cursor": cursor}),
                "is_first_key": not ApiKey.objects.exists(),
            }
        return self.page("keys.html", shown)


class MakeKey(KeyPage):
    capabilities = {"GET": Capability.KEYS_WRITE, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.issued"}

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._form(NewKeyForm(**self._options()))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NewKeyForm(request.POST, **self._options())
        if not form.is_valid():
            return self._form(form, 400)
        body = form.body
        secret = ""

        def make() -> str:
            nonlocal secret
            fields = {name: value for name, value in body.items() if name not in ("tenant", "allow_weak")}
            with tenant_tx(self.caller.tenant_id):
                project = find_project(find_tenant(self.caller.tenant_slug), fields.pop("project"))
            key, secret = issue_api_key(project, actor=self.arrival.actor, **fields)
            return str(key.id)

        try:
            key_id, is_repeated = Once(self).do(body, make)
        except (KeyRefused, LimitsRefused) as refused:
            form.refused(refused)
            return self._form(form, 400)
        except AnotherBody:
            form.add_error(None, ANOTHER_BODY)
            return self._form(form, 409)
        key = self.found(key_id)
        if is_repeated:
            return self.key_page("key_made_before.html", key, {})
        return self.secret_page(key, secret, is_rotated=False, is_own=key.brought_along)

    def _options(self) -> dict[str, Any]:
        with tenant_tx(self.caller.tenant_id):
            projects = list(_open_projects().values_list("slug", "name"))
        scopes = [one for one in KeyScope.values if may_grant_scopes(self.caller, frozenset({one}))]
        return {**self.form_options(), "may_limit": True, "projects": projects, "scopes": scopes}

    def _form(self, form: NewKeyForm, status: int = 200) -> HttpResponse:
        return self.page("key_new.html", {"form": form, "once": Once.fresh()}, status)


class OneKey(KeyPage):
    capabilities = {"GET": Capability.KEYS_READ, "POST": Capability.KEYS_WRITE}
    audits = {"POST": ("key.changed", "key.moved")}

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        found = self.found(key)
        return self._page(found, KeyChangeForm.of(found, **self.form_options()))

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        found = self.changeable(key)
        form = KeyChangeForm.of(found, request.POST, **self.form_options())
        if not form.is_valid():
            return self._page(found, form, 400)
        scope = tenant_tx(self.caller.tenant_id)
        try:
            with unchanged_since(request.POST.get("seen", "*"), scope, found, self._shown):
                update_api_key(found, form.body, actor=self.arrival.actor)
        except (KeyRefused, LimitsRefused) as refused:
            form.refused(refused)
            return self._page(found, form, 400)
        except (ChangedMeanwhile, KeyIsOver) as refused:
            form.add_error(None, OVER if isinstance(refused, KeyIsOver) else str(refused.detail))
            return self._page(self.found(key), form, 409)
        return see("dashboard_key", found.id)

    def _page(self, key: ApiKey, form: KeyChangeForm, status: int = 200) -> HttpResponse:
        may_change = self.may(Capability.KEYS_WRITE) and may_grant_scopes(self.caller, frozenset(key.scopes))
        shown = {"form": form, "seen": etag_of(self._shown(key)), "may_change": may_change}
        return self.key_page("key.html", key, shown, status)

    def _shown(self, key: ApiKey) -> dict[str, Any]:
        with tenant_tx(self.caller.tenant_id):
            return steady(dict(KeyOut(find_key(str(key.id))).data))


class RotateKey(KeyPage):
    capabilities = {"GET": Capability.KEYS_WRITE, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.rotated"}

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        return self._form(self.changeable(key), RotationForm(label_suffix=""))

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        found = self.changeable(key)
        form = RotationForm(request.POST, label_suffix="")
        if not form.is_valid():
            return self._form(found, form, 400)
        overlap = timedelta(seconds=form.cleaned_data["overlap"])
        secret = ""

        def make() -> str:
            nonlocal secret
            rotated, secret = rotate_api_key(found, actor=self.arrival.actor, overlap=overlap)
            return str(rotated.id)

        try:
            _, is_repeated = Once(self).do({"overlap": form.cleaned_data["overlap"]}, make)
        except AnotherBody:
            form.add_error(None, ANOTHER_BODY)
            return self._form(found, form, 409)
        except KeyIsOver:
            return see("dashboard_key", found.id)
        rotated = self.found(str(found.id))
        if is_repeated:
            return self.key_page("key_made_before.html", rotated, {"is_rotated": True})
        return self.secret_page(rotated, secret, is_rotated=True)

    def _form(self, key: ApiKey, form: RotationForm, status: int = 200) -> HttpResponse:
        return self.key_page("key_rotate.html", key, {"form": form, "once": Once.fresh()}, status)


def _open_projects() -> QuerySet[Project]:
    return Project.objects.filter(archived_at=None).order_by("id")
