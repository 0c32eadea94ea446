"""The audit log in OpenAI's words. What has none there keeps its own name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.audit_log import Wanted, find_entries
from gdpr.models import AuditEntry
from inference.rest.organization.base import (
    ENTRY,
    INVITE,
    KEY,
    PROJECT,
    SERVICE_ACCOUNT,
    USER,
    ListQuery,
    OrganizationView,
    page,
    parse_id,
    read_ids,
    seconds,
    shown_id,
)
from inference.rest.organization.shapes import EntryShape
from inference.rest.organization.usage import Strings
from tenants.models import ApiKey, Member, Project
from tenants.rules import Capability

TYPES: Final[Mapping[str, str]] = {
    "key.issued": "api_key.created",
    "key.updated": "api_key.updated",
    "key.moved": "api_key.updated",
    "key.rotated": "api_key.updated",
    "key.revoked": "api_key.deleted",
    "invitation.created": "invite.sent",
    "invitation.accepted": "invite.accepted",
    "invitation.withdrawn": "invite.deleted",
    "project.created": "project.created",
    "project.renamed": "project.updated",
    "project.archived": "project.archived",
    "member.added": "user.added",
    "member.role_changed": "user.updated",
    "member.removed": "user.deleted",
    "limits.changed": "rate_limit.updated",
    "tenant.changed": "organization.updated",
}
LAST_S: Final = 2**32


class EffectiveAt(serializers.Serializer[Any]):
    gt = serializers.IntegerField(required=False, min_value=0, max_value=LAST_S)
    gte = serializers.IntegerField(required=False, min_value=0, max_value=LAST_S)
    lt = serializers.IntegerField(required=False, min_value=0, max_value=LAST_S)
    lte = serializers.IntegerField(required=False, min_value=0, max_value=LAST_S)

    def to_internal_value(self, data: Any) -> Any:
        """A mistyped bound would be lost, and the list be longer than was asked for."""
        for name in data if isinstance(data, Mapping) else ():
            if name not in self.fields:
                raise serializers.ValidationError({name: [f"This takes {', '.join(self.fields)}."]})
        return super().to_internal_value(data)


class EntryQuery(ListQuery):
    before = serializers.CharField(required=False, max_length=128)
    effective_at = EffectiveAt(required=False)
    event_types = Strings()
    actor_ids = Strings()
    actor_emails = Strings()
    project_ids = Strings()
    resource_ids = Strings()


class AuditLogs(OrganizationView):
    capabilities = {"GET": Capability.AUDIT_READ}

    @extend_schema(operation_id="list_audit_logs", parameters=[EntryQuery], responses=EntryShape(many=True))
    def get(self, request: Request) -> Response:
        """Newest first. What tasks came to is in here only when event_types names it, such as task.settled."""
        query = self.read_query(EntryQuery)
        since, until = _times(query.get("effective_at", {}))
        with self.scope():
            wanted = Wanted(
                events=_events(query.get("event_types", [])),
                actors=_actors(query),
                objects=_objects(query.get("resource_ids")),
                projects=[one.hex for one in read_ids(PROJECT, query.get("project_ids")) or []],
                since=since,
                until=until,
            )
            entries = find_entries(wanted)
            if wanted.projects == [] and "project_ids" in query:
                entries = entries.none()
            return page(entries, query, ENTRY, _shown)


def _shown(entries: list[AuditEntry]) -> list[dict[str, Any]]:
    """In the scope of the tenant: what is another's, such as the operator's people, stays a pseudonym."""
    names = _Names(entries)
    return [names.entry(entry) for entry in entries]


class _Names:
    """Of the keys, people and projects that some entries speak of."""

    def __init__(self, entries: Iterable[AuditEntry]) -> None:
        entries = list(entries)
        refs = {ref for entry in entries for ref in (entry.actor, entry.object_ref)}
        kids = [ref.removeprefix("key:") for ref in refs if ref.startswith("key:")]
        users = _uuids(ref.removeprefix("user:") for ref in refs if ref.startswith("user:"))
        projects = _uuids(_project_of(entry) for entry in entries)
        self.keys = dict(ApiKey.objects.filter(kid__in=kids).values_list("kid", "id"))
        self.emails = dict(Member.objects.filter(user__in=users).values_list("user_id", "user__email"))
        self.projects = dict(Project.objects.filter(id__in=projects).values_list("id", "name"))

    def entry(self, entry: AuditEntry) -> dict[str, Any]:
        kind = TYPES.get(entry.event, entry.event)
        project = next(iter(_uuids([_project_of(entry)])), None)
        shown = {
            "id": shown_id(ENTRY, entry.id),
            "object": "organization.audit_log",
            "type": kind,
            "effective_at": seconds(entry.at),
            "actor": self.actor(entry.actor),
            kind: {"id": self.object(entry.object_ref), "data": entry.details, "outcome": entry.outcome},
        }
        if project in self.projects:
            shown["project"] = {"id": shown_id(PROJECT, project), "name": self.projects[project]}
        return shown

    def actor(self, text: str) -> dict[str, Any]:
        kind, _, name = text.partition(":")
        if kind == "key":
            key = self.keys.get(name)
            account = {"id": shown_id(SERVICE_ACCOUNT, key) if key else None}
            shown = {"id": shown_id(KEY, key) if key else name, "type": "service_account"}
            return {"type": "api_key", "api_key": shown | {"service_account": account}}
        if kind == "user" and (user := parse_id("", name)):
            return {
                "type": "session",
                "session": {"user": {"id": shown_id(USER, user), "email": self.emails.get(user)}},
            }
        return {"type": kind, "id": name or None}

    def object(self, ref: str) -> str:
        kind, _, name = ref.partition(":")
        if kind == "key" and name in self.keys:
            return shown_id(KEY, self.keys[name])
        prefix = {"project": PROJECT, "user": USER, "invitation": INVITE}.get(kind)
        return f"{prefix}{name}" if prefix else ref


def _project_of(entry: AuditEntry) -> str:
    kind, _, name = entry.object_ref.partition(":")
    return name if kind == "project" else str(entry.details.get("project") or "")


def _uuids(texts: Iterable[str]) -> set[UUID]:
    return {found for text in texts if (found := parse_id("", text))}


def _events(types: Iterable[str]) -> list[str]:
    found = []
    for name in types:
        found += [event for event, theirs in TYPES.items() if theirs == name] or [name]
    return found


def _actors(query: Mapping[str, Any]) -> list[str] | None:
    """In a scope."""
    if "actor_ids" not in query and "actor_emails" not in query:
        return None
    found = [f"user:{one.hex}" for one in read_ids(USER, query.get("actor_ids")) or []]
    keys = [
        *(read_ids(KEY, query.get("actor_ids")) or []),
        *(read_ids(SERVICE_ACCOUNT, query.get("actor_ids")) or []),
    ]
    found += [f"key:{kid}" for kid in ApiKey.objects.filter(id__in=keys).values_list("kid", flat=True)]
    emails = [email.strip().lower() for email in query.get("actor_emails", [])]
    users = Member.objects.filter(user__email__in=emails).values_list("user_id", flat=True)
    return [*found, *(f"user:{user.hex}" for user in users)]


def _objects(ids: list[str] | None) -> list[str] | None:
    """In a scope."""
    if ids is None:
        return None
    found = list(ids)  # what has no identifier of OpenAI's is named as entries have it
    for prefix, kind in ((PROJECT, "project"), (USER, "user"), (INVITE, "invitation")):
        found += [f"{kind}:{one.hex}" for one in read_ids(prefix, ids) or []]
    keys = read_ids(KEY, ids) or []
    return [
        *found,
        *(f"key:{kid}" for kid in ApiKey.objects.filter(id__in=keys).values_list("kid", flat=True)),
    ]


def _times(given: Mapping[str, int]) -> tuple[datetime | None, datetime | None]:
    """In whole seconds, as entries are shown."""
    since = [given[name] + more for name, more in (("gte", 0), ("gt", 1)) if name in given]
    until = [given[name] + more for name, more in (("lt", 0), ("lte", 1)) if name in given]
    return (
        datetime.fromtimestamp(max(since), UTC) if since else None,
        datetime.fromtimestamp(min(until), UTC) if until else None,
    )
