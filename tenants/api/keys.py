from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import tenant_tx
from tenants.api.base import ManagementView, PageQuery, deleted_response, list_response, page_of
from tenants.api.tenancy import find_project, find_tenant, scope_of
from tenants.domain.keys import KeyRefused, is_short, issue_api_key, revoke_api_key
from tenants.domain.rights import may_grant_scopes
from tenants.enums import KeyScope
from tenants.models import ApiKey, Project
from tenants.rules import Capability


class KeyQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: keys of this tenant only"
    )
    include_revoked = serializers.BooleanField(default=False)


class NewKey(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, default="key")
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator; left out: the caller's own"
    )
    project = serializers.SlugField(default="", allow_blank=True, help_text="Left out: the tenant's first")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(KeyScope.choices), default=[KeyScope.INFERENCE], min_length=1
    )
    value = serializers.CharField(
        required=False, trim_whitespace=False, help_text="A key brought along from another gateway"
    )
    expires_at = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z")


class KeyOut(serializers.ModelSerializer[ApiKey]):
    object = serializers.CharField(default="key", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    project = serializers.CharField(source="project.slug")

    class Meta:
        model = ApiKey
        fields = [
            "id", "object", "kid", "name", "tenant", "project", "scopes", "last4", "brought_along", "created_at",
            "expires_at", "revoked_at",
        ]  # fmt: skip


class IssuedKey(KeyOut):
    key = serializers.CharField(help_text="Shown this once")
    warning = serializers.CharField(allow_null=True)

    class Meta(KeyOut.Meta):
        fields = [*KeyOut.Meta.fields, "key", "warning"]


class Keys(ManagementView):
    capabilities = {"GET": Capability.KEYS_READ, "POST": Capability.KEYS_WRITE}

    @extend_schema(operation_id="list_keys", parameters=[KeyQuery], responses=KeyOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(KeyQuery)
        with scope_of(self.caller, "keys of all tenants"):
            rows = ApiKey.objects.select_related("tenant", "project")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            if not query["include_revoked"]:
                rows = rows.filter(revoked_at=None)
            found, cursor = page_of(rows, query)
            return list_response([dict(KeyOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_key", request=NewKey, responses={201: IssuedKey})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewKey)
        if not may_grant_scopes(self.caller, frozenset(body["scopes"])):
            raise ValidationError({"scopes": ["A key may not do more than who makes it."]})
        project = self._project(body["tenant"], body["project"])
        try:
            key, secret = issue_api_key(
                project,
                name=body["name"],
                scopes=body["scopes"],
                actor=self.actor,
                value=body.get("value"),
                expires_at=body.get("expires_at"),
            )
        except KeyRefused as error:
            field = next((name for name in ("expires_at", "value") if name in str(error)), "name")
            raise ValidationError({field: [str(error)]}) from None
        warning = "This value is short and can be guessed." if "value" in body and is_short(secret) else None
        with tenant_tx(project.tenant_id):
            shown = {**KeyOut(key).data, "key": secret, "warning": warning}
        return Response(shown, status.HTTP_201_CREATED)

    def _project(self, tenant_slug: str, project_slug: str) -> Project:
        with scope_of(self.caller, "project of a key"):
            if not tenant_slug and not project_slug and self.caller.project_id:
                return Project.objects.select_related("tenant").get(id=self.caller.project_id)
            return find_project(find_tenant(tenant_slug or self.caller.tenant_slug), project_slug)


class OneKey(ManagementView):
    capabilities = {"GET": Capability.KEYS_READ, "DELETE": Capability.KEYS_WRITE}

    @extend_schema(operation_id="get_key", responses=KeyOut)
    def get(self, request: Request, key: str) -> Response:
        with scope_of(self.caller, "a key"):
            return Response(KeyOut(find_key(key)).data)

    @extend_schema(operation_id="revoke_key", responses={200: None})
    def delete(self, request: Request, key: str) -> Response:
        with scope_of(self.caller, "a key"):
            found = find_key(key)
        revoke_api_key(found, actor=self.actor)
        return deleted_response("key", str(found.id))


def find_key(id_or_kid: str) -> ApiKey:
    wanted = Q(kid=id_or_kid)
    try:
        wanted |= Q(id=UUID(id_or_kid))
    except ValueError:
        pass
    key = ApiKey.objects.select_related("tenant", "project").filter(wanted).first()
    if key is None:
        raise NotFound("There is no such key.")
    return key
