"""Keys of projects, the same as service accounts, and those that administer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inference.rest.organization.base import (
    KEY,
    SERVICE_ACCOUNT,
    ListQuery,
    OrganizationView,
    Unsupported,
    deleted_response,
    page,
    read_id,
    seconds,
    shown_id,
)
from inference.rest.organization.shapes import (
    AdminKeyShape,
    DeletedShape,
    MadeAdminKeyShape,
    MadeServiceAccountShape,
    ProjectKeyShape,
    ServiceAccountShape,
)
from tenants.api.tenancy import find_project
from tenants.domain.keys import issue_api_key, revoke_api_key
from tenants.domain.rights import may_grant_scopes
from tenants.enums import KeyScope
from tenants.models import ApiKey, Project
from tenants.rules import Capability

ADMINISTERING = [scope for scope in KeyScope.values if scope != KeyScope.INFERENCE]
LIFETIME_MAX_S = 100 * 366 * 86_400


class KeyQuery(ListQuery):
    owner_project_access = serializers.ChoiceField(
        ["active", "inactive", "any"], required=False, help_text="Keys own themselves: all are active"
    )


class AdminKeyQuery(ListQuery):
    after = serializers.CharField(required=False, allow_null=True, max_length=128)
    order = serializers.ChoiceField(["asc", "desc"], default="asc")


class NewAdminKey(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    expires_in_seconds = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=LIFETIME_MAX_S
    )


class NewServiceAccount(NewAdminKey):
    create_service_account_only = Unsupported("An account is its key; it cannot be made without.")


class KeyView(OrganizationView):
    def issue(self, project: Project, body: dict[str, Any], scopes: Sequence[str]) -> tuple[ApiKey, str]:
        if not may_grant_scopes(self.caller, frozenset(scopes)):
            raise ValidationError({"scopes": ["A key may not do more than who makes it."]})
        lifetime_s = body.get("expires_in_seconds")
        expires_at = None if lifetime_s is None else timezone.now() + timedelta(seconds=lifetime_s)
        return issue_api_key(
            project, name=body["name"], scopes=scopes, actor=self.actor, expires_at=expires_at
        )

    def of_project(self, project_id: str) -> QuerySet[ApiKey]:
        """In a scope. Those that call models."""
        project = self.project(project_id)
        return ApiKey.objects.filter(project=project, revoked_at=None, scopes__contains=[KeyScope.INFERENCE])

    def of_organization(self) -> QuerySet[ApiKey]:
        """In a scope. Those that administer; one that does both is in both lists."""
        return ApiKey.objects.filter(revoked_at=None, scopes__overlap=ADMINISTERING)


class ProjectKeys(KeyView):
    capabilities = {"GET": Capability.KEYS_READ}

    @extend_schema(
        operation_id="list_project_api_keys", parameters=[KeyQuery], responses=ProjectKeyShape(many=True)
    )
    def get(self, request: Request, project: str) -> Response:
        query = self.read_query(KeyQuery)
        with self.scope():
            rows = self.of_project(project)
            if query.get("owner_project_access") == "inactive":
                rows = rows.none()
            return page(rows, query, KEY, lambda found: [shown_key(row) for row in found])


class OneProjectKey(KeyView):
    capabilities = {"GET": Capability.KEYS_READ, "DELETE": Capability.KEYS_WRITE}
    audits = {"DELETE": "key.revoked"}

    @extend_schema(operation_id="retrieve_project_api_key", responses=ProjectKeyShape)
    def get(self, request: Request, project: str, key: str) -> Response:
        with self.scope():
            return Response(shown_key(_one(self.of_project(project), KEY, key, "key")))

    @extend_schema(operation_id="delete_project_api_key", responses={200: DeletedShape})
    def delete(self, request: Request, project: str, key: str) -> Response:
        """Revokes it: queens refuse it within a second."""
        with self.scope():
            found = _one(self.of_project(project), KEY, key, "key")
        revoke_api_key(found, actor=self.actor)
        return deleted_response("organization.project.api_key", shown_id(KEY, found.id))


class ServiceAccounts(KeyView):
    capabilities = {"GET": Capability.KEYS_READ, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.issued"}
    shown_once = "api_key"

    @extend_schema(
        operation_id="list_service_accounts",
        parameters=[ListQuery],
        responses=ServiceAccountShape(many=True),
    )
    def get(self, request: Request, project: str) -> Response:
        query = self.read_query(ListQuery)
        with self.scope():
            return page(
                self.of_project(project),
                query,
                SERVICE_ACCOUNT,
                lambda found: [shown_account(row) for row in found],
            )

    @extend_schema(
        operation_id="create_service_account",
        request=NewServiceAccount,
        responses={200: MadeServiceAccountShape},
    )
    def post(self, request: Request, project: str) -> Response:
        """With a key for inference, whose value is shown this once."""
        body = self.read_body(NewServiceAccount)
        key, secret = self.issue(self.project(project, active=True), body, [KeyScope.INFERENCE])
        shown = {
            "id": shown_id(KEY, key.id),
            "object": "organization.project.service_account.api_key",
            "name": key.name,
            "value": secret,
            "created_at": seconds(key.created_at),
            "expires_at": seconds(key.expires_at),
        }
        return Response(shown_account(key) | {"api_key": shown})


class OneServiceAccount(KeyView):
    capabilities = {"GET": Capability.KEYS_READ, "DELETE": Capability.KEYS_WRITE}
    audits = {"DELETE": "key.revoked"}

    @extend_schema(operation_id="retrieve_service_account", responses=ServiceAccountShape)
    def get(self, request: Request, project: str, account: str) -> Response:
        with self.scope():
            return Response(shown_account(self.found(project, account)))

    @extend_schema(operation_id="delete_service_account", responses={200: DeletedShape})
    def delete(self, request: Request, project: str, account: str) -> Response:
        """Revokes its key."""
        with self.scope():
            found = self.found(project, account)
        revoke_api_key(found, actor=self.actor)
        return deleted_response("organization.project.service_account", shown_id(SERVICE_ACCOUNT, found.id))

    def found(self, project: str, account: str) -> ApiKey:
        return _one(self.of_project(project), SERVICE_ACCOUNT, account, "service account")


class AdminKeys(KeyView):
    capabilities = {"GET": Capability.KEYS_READ, "POST": Capability.KEYS_WRITE}
    audits = {"POST": "key.issued"}
    shown_once = "value"

    @extend_schema(
        operation_id="list_admin_api_keys", parameters=[AdminKeyQuery], responses=AdminKeyShape(many=True)
    )
    def get(self, request: Request) -> Response:
        query = self.read_query(AdminKeyQuery)
        with self.scope():
            return page(
                self.of_organization(), query, KEY, lambda found: [shown_admin_key(row) for row in found]
            )

    @extend_schema(
        operation_id="create_admin_api_key", request=NewAdminKey, responses={200: MadeAdminKeyShape}
    )
    def post(self, request: Request) -> Response:
        """Its value is shown this once. It manages, and calls no model."""
        body = self.read_body(NewAdminKey)
        with self.scope():
            project = find_project(self.organization, "")
        key, secret = self.issue(project, body, [KeyScope.MANAGE])
        return Response(shown_admin_key(key) | {"value": secret})


class OneAdminKey(KeyView):
    capabilities = {"GET": Capability.KEYS_READ, "DELETE": Capability.KEYS_WRITE}
    audits = {"DELETE": "key.revoked"}

    @extend_schema(operation_id="retrieve_admin_api_key", responses=AdminKeyShape)
    def get(self, request: Request, key: str) -> Response:
        with self.scope():
            return Response(shown_admin_key(_one(self.of_organization(), KEY, key, "key")))

    @extend_schema(operation_id="delete_admin_api_key", responses={200: DeletedShape})
    def delete(self, request: Request, key: str) -> Response:
        with self.scope():
            found = _one(self.of_organization(), KEY, key, "key")
        revoke_api_key(found, actor=self.actor)
        return deleted_response("organization.admin_api_key", shown_id(KEY, found.id))


def shown_key(key: ApiKey) -> dict[str, Any]:
    account = shown_account(key)
    owner = {name: account[name] for name in ("id", "name", "role", "created_at")}
    return {
        "id": shown_id(KEY, key.id),
        "object": "organization.project.api_key",
        "name": key.name,
        "redacted_value": _redacted(key),
        "created_at": seconds(key.created_at),
        "last_used_at": seconds(key.last_used_at),
        "expires_at": seconds(key.expires_at),
        "owner": {"type": "service_account", "service_account": owner},
        "owner_project_access": "active",
    }


def shown_account(key: ApiKey) -> dict[str, Any]:
    return {
        "id": shown_id(SERVICE_ACCOUNT, key.id),
        "object": "organization.project.service_account",
        "name": key.name,
        "role": "member",
        "created_at": seconds(key.created_at),
    }


def shown_admin_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": shown_id(KEY, key.id),
        "object": "organization.admin_api_key",
        "name": key.name,
        "redacted_value": _redacted(key),
        "created_at": seconds(key.created_at),
        "last_used_at": seconds(key.last_used_at),
        "expires_at": seconds(key.expires_at),
        "owner": {
            "id": shown_id(SERVICE_ACCOUNT, key.id),
            "object": "organization.service_account",
            "type": "service_account",
            "name": key.name,
            "role": "owner",
            "created_at": seconds(key.created_at),
        },
    }


def _one(rows: QuerySet[ApiKey], prefix: str, shown: str, what: str) -> ApiKey:
    """In a scope. Raises NotFound."""
    found = rows.filter(id=read_id(prefix, shown, what)).first()
    if found is None:
        raise NotFound(f"There is no such {what}.")
    return found


def _redacted(key: ApiKey) -> str:
    """As much of a value as may be shown: its kid tells it apart."""
    return f"***{key.last4}" if key.brought_along else f"rbee_***_{key.kid}_***{key.last4}"
