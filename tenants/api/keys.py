from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import tenant_tx
from tenants.api.base import ManagementView, deleted_response, list_response, page_of
from tenants.api.etags import etag_of, unchanged
from tenants.api.key_fields import (
    KEY_STATUSES,
    IssuedKey,
    KeyChange,
    KeyOut,
    KeyQuery,
    NewKey,
    RotatedKey,
    Rotation,
)
from tenants.api.tenancy import find_project, find_tenant, scope_of
from tenants.domain.keys import (
    OVERLAP_DEFAULT,
    is_weak,
    issue_api_key,
    revoke_api_key,
    rotate_api_key,
    update_api_key,
)
from tenants.domain.rights import may, may_grant_scopes
from tenants.models import ApiKey, Project
from tenants.rules import Capability

WEAK = "This value can be guessed."
OF_USE = ("last_used_at", "previous")  # changes without anybody's doing
MORE = "A key may not do more than who makes it."


class KeyView(ManagementView):
    def found(self, id_or_kid: str) -> ApiKey:
        with scope_of(self.caller, "a key"):
            return find_key(id_or_kid)

    def changeable(self, id_or_kid: str) -> ApiKey:
        """Who may do less than the key could take it over by changing it."""
        key = self.found(id_or_kid)
        if not may_grant_scopes(self.caller, frozenset(key.scopes)):
            raise PermissionDenied("This key may do more than you; ask an administrator.")
        return key

    def shown(self, key: ApiKey) -> dict[str, Any]:
        with scope_of(self.caller, "a key"):
            return dict(KeyOut(find_key(str(key.id))).data)

    def tagged(self, key: ApiKey) -> Response:
        shown = self.shown(key)
        return Response(shown, headers={"ETag": etag_of(steady(shown))})

    def check_scopes(self, scopes: list[str]) -> None:
        if not may_grant_scopes(self.caller, frozenset(scopes)):
            raise ValidationError({"scopes": [MORE]})


class Keys(KeyView):
    capabilities = {"GET": Capability.KEYS_READ, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.issued"}
    shown_once = "key"

    @extend_schema(operation_id="list_keys", parameters=[KeyQuery], responses=KeyOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(KeyQuery)
        with scope_of(self.caller, "keys of all tenants"):
            rows = filtered_keys(ApiKey.objects.select_related("tenant", "project"), query)
            found, cursor = page_of(rows, query)
            return list_response([dict(KeyOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_key", request=NewKey, responses={201: IssuedKey})
    def post(self, request: Request) -> Response:
        """`value` brings a key of another gateway along, which has to be hard to guess."""
        body = self.read_body(NewKey)
        self.check_scopes(body["scopes"])
        may_be_weak = body.pop("allow_weak")
        if may_be_weak and not may(self.caller, Capability.COLONY_WRITE):
            raise ValidationError({"allow_weak": ["Only the operator of this colony allows that."]})
        project = self._project(body.pop("tenant"), body.pop("project"))
        key, secret = issue_api_key(project, actor=self.actor, may_be_weak=may_be_weak, **body)
        warning = WEAK if "value" in body and is_weak(secret) else None
        with tenant_tx(project.tenant_id):
            shown = {**KeyOut(key).data, "key": secret, "warning": warning}
        return Response(shown, status.HTTP_201_CREATED)

    def _project(self, tenant_slug: str, project_slug: str) -> Project:
        with scope_of(self.caller, "project of a key"):
            if not tenant_slug and not project_slug and self.caller.project_id:
                return Project.objects.select_related("tenant").get(id=self.caller.project_id)
            return find_project(find_tenant(tenant_slug or self.caller.tenant_slug), project_slug)


class OneKey(KeyView):
    has_etag = True
    capabilities = {
        "GET": Capability.KEYS_READ,
        "PATCH": Capability.KEYS_WRITE,
        "DELETE": Capability.KEYS_WRITE,
    }
    audits = {"PATCH": ("key.changed", "key.moved"), "DELETE": "key.revoked"}

    @extend_schema(operation_id="get_key", responses=KeyOut)
    def get(self, request: Request, key: str) -> Response:
        return self.tagged(self.found(key))

    @extend_schema(operation_id="update_key", request=KeyChange, responses=KeyOut)
    def patch(self, request: Request, key: str) -> Response:
        """Queens go by it within a second. With the ETag of what was read as If-Match only if it is still so."""
        found = self.changeable(key)
        body = self.read_body(KeyChange)
        if "scopes" in body:
            self.check_scopes(body["scopes"])
        if "budget" in body and not may(self.caller, Capability.LIMITS_WRITE):
            raise PermissionDenied("Your role here does not change budgets.")
        scope = scope_of(self.caller, "a key, if unchanged")
        with unchanged(request, scope, found, lambda row: steady(self.shown(row))):
            update_api_key(found, body, actor=self.actor)
        return self.tagged(found)

    @extend_schema(operation_id="revoke_key", responses={200: None})
    def delete(self, request: Request, key: str) -> Response:
        """Refused within a second; answers that are under way are ended."""
        found = self.found(key)
        revoke_api_key(found, actor=self.actor)
        return deleted_response("key", str(found.id))


class RotateKey(KeyView):
    capabilities = {"POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.rotated"}
    shown_once = "key"

    @extend_schema(operation_id="rotate_key", request=Rotation, responses=RotatedKey)
    def post(self, request: Request, key: str) -> Response:
        """Another value for the same key, with its limits and what was used of them. That of before goes on for
        `overlap_s`."""
        found = self.changeable(key)
        seconds = self.read_body(Rotation).get("overlap_s")
        overlap = OVERLAP_DEFAULT if seconds is None else timedelta(seconds=seconds)
        rotated, secret = rotate_api_key(found, actor=self.actor, overlap=overlap)
        return Response({**self.shown(rotated), "key": secret})


def find_key(id_or_kid: str) -> ApiKey:
    """By its id, or the kid of either value."""
    wanted = Q(kid=id_or_kid) | Q(old_kid=id_or_kid)
    try:
        wanted |= Q(id=UUID(id_or_kid))
    except ValueError:
        pass
    key = ApiKey.objects.select_related("tenant", "project").filter(wanted).first()
    if key is None:
        raise NotFound("There is no such key.")
    return key


def filtered_keys(rows: QuerySet[ApiKey], query: dict[str, Any]) -> QuerySet[ApiKey]:
    if query["tenant"]:
        rows = rows.filter(tenant=find_tenant(query["tenant"]))
    if query["project"]:
        rows = rows.filter(project__slug=query["project"])
    if query["scope"]:
        rows = rows.filter(scopes__contains=[query["scope"]])
    if query["name"]:
        rows = rows.filter(name__icontains=query["name"])
    if query["status"]:
        rows = rows.filter(KEY_STATUSES[query["status"]](timezone.now()))
    elif not query["include_revoked"]:
        rows = rows.filter(revoked_at=None)
    return rows


def steady(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in OF_USE}
