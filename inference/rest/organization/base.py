"""What every view of the surface shares: whose organization it is, identifiers with OpenAI's prefixes, lists in pages by
`after`, and query strings with brackets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.response import Response

from gdpr.scope import tenant_tx
from tenants.api.base import ManagementView
from tenants.api.tenancy import tenant_of
from tenants.models import Project, Tenant

ORGANIZATION_HEADER = "OpenAI-Organization"
PROJECT, KEY, SERVICE_ACCOUNT = "proj_", "key_", "svc_acct_"
USER, INVITE, ENTRY = "user-", "invite-", "audit_log-"

M = TypeVar("M", bound=Model)


class OrganizationView(ManagementView):
    @cached_property
    def organization(self) -> Tenant:
        """Raises NotFound for one that is not the caller's to see."""
        return tenant_of(self.caller, self.request.headers.get(ORGANIZATION_HEADER, ""))

    def addressed(self) -> tuple[str, ...]:
        return (*super().addressed(), self.organization.id.hex)

    def scope(self) -> AbstractContextManager[None]:
        return tenant_tx(self.organization.id)

    def project(self, project_id: str, *, active: bool = False) -> Project:
        """`active`: for what an archived one cannot have."""
        with self.scope():
            found = Project.objects.filter(id=read_id(PROJECT, project_id, "project")).first()
        if found is None:
            raise NotFound("There is no such project.")
        if active and found.archived_at is not None:
            raise ValidationError({"project_id": ["This project is archived."]})
        return found

    def read_query(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Lists as `name[]=a&name[]=b` or repeated, and objects as `name[field]=a`, as official clients write them."""
        return self.read(serializer, _unfolded(self.request.query_params, serializer))


class Unsupported(serializers.JSONField):
    """A field of OpenAI's that has no counterpart: it may be null, and `why` is said of anything else."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(required=False, allow_null=True, help_text=f"Not supported: {why}")

    def to_internal_value(self, data: Any) -> Any:
        raise serializers.ValidationError(self.why)


class ListQuery(serializers.Serializer[Any]):
    after = serializers.CharField(required=False, max_length=128, help_text="`last_id` of the page before")
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)


def shown_id(prefix: str, value: UUID) -> str:
    return f"{prefix}{value.hex}"


def read_id(prefix: str, text: str, what: str) -> UUID:
    """Raises NotFound for what is no identifier: it names nothing."""
    found = parse_id(prefix, text)
    if found is None:
        raise NotFound(f"There is no such {what}.")
    return found


def parse_id(prefix: str, text: str) -> UUID | None:
    digits = text.removeprefix(prefix)
    if not text.startswith(prefix) or len(digits) != 32:
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None


def read_ids(prefix: str, texts: list[str] | None) -> list[UUID] | None:
    """Of a filter: what is no identifier finds nothing."""
    if texts is None:
        return None
    return [found for text in texts if (found := parse_id(prefix, text))]


def seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def page(
    rows: QuerySet[M],
    query: dict[str, Any],
    prefix: str,
    show: Callable[[list[M]], list[dict[str, Any]]],
    *,
    key: str = "id",
) -> Response:
    """Newest first, unless `order` says otherwise. `key` is a UUIDv7; it need not be of a row that is still there."""
    is_ascending = query.get("order") == "asc"
    if "before" in query:
        return _page_before(rows, query, prefix, show, key)
    if "after" in query:
        compare = "gt" if is_ascending else "lt"
        rows = rows.filter(**{f"{key}__{compare}": _cursor(prefix, query, "after")})
    found = list(rows.order_by(key if is_ascending else f"-{key}")[: query["limit"] + 1])
    return list_response(show(found[: query["limit"]]), has_more=len(found) > query["limit"])


def _page_before(
    rows: QuerySet[M], query: dict[str, Any], prefix: str, show: Callable[[list[M]], Any], key: str
) -> Response:
    if "after" in query:
        raise ValidationError({"before": ["Send after or before, not both."]})
    found = list(
        rows.filter(**{f"{key}__gt": _cursor(prefix, query, "before")}).order_by(key)[: query["limit"] + 1]
    )
    return list_response(show(found[: query["limit"]][::-1]), has_more=len(found) > query["limit"])


def list_response(data: list[dict[str, Any]], *, has_more: bool) -> Response:
    return Response(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": has_more,
        }
    )


def deleted_response(kind: str, shown: str) -> Response:
    return Response({"id": shown, "object": f"{kind}.deleted", "deleted": True})


def _cursor(prefix: str, query: dict[str, Any], name: str) -> UUID:
    found = parse_id(prefix, query[name])
    if found is None:
        raise ValidationError({name: [f"This takes an id of this list, such as {prefix}…"]})
    return found


def _unfolded(given: QueryDict, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    fields = serializer().fields
    found: dict[str, Any] = {}
    for name in given:
        plain, _, inner = name.partition("[")
        inner = inner.removesuffix("]")
        if inner and "[" in name:
            nested = found.setdefault(plain, {})
            if isinstance(nested, dict):
                nested[inner] = given[name]
        elif isinstance(fields.get(plain), serializers.ListField):
            found[plain] = [*found.get(plain, []), *given.getlist(name)]
        else:
            found[plain if name.endswith("[]") else name] = given[name]
    return found
