"""Whether prompts and outputs of the caller's tenant are kept, and those that are. Of the tenant itself only: the operator has
no way in here to what its customers ask."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.vault import VaultBroken, VaultGone
from gdpr.pseudonyms import subject_pseudonym
from gdpr.scope import tenant_tx
from inference.domain import content_retention
from inference.domain.errors import InvalidInput, NotFound, StateConflict
from inference.domain.explanation import task_id_of
from inference.domain.kept_content import described, kept_rows, read_content, shown
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.domain.authentication import Caller
from tenants.models import Tenant
from tenants.rules import Capability

IN_CHARGE = (Capability.GDPR_REQUEST, Capability.COLONY_WRITE)
DAYS_MAX = 400
NOT_KEPT = "Nothing is kept of such a task."


class ContentRetentionBody(serializers.Serializer[Any]):
    days = serializers.IntegerField(
        min_value=1,
        max_value=DAYS_MAX,
        help_text="For how long. A shorter time than before holds for what is kept already too",
    )


class ContentRetentionEnd(serializers.Serializer[Any]):
    confirm = serializers.CharField(help_text="The tenant's slug: all that was kept is deleted")


class ContentRetentionOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="content_retention")
    tenant = serializers.CharField()
    days = serializers.IntegerField(allow_null=True, help_text="null: nothing is kept, as by default")
    days_max = serializers.IntegerField(help_text="That the operator allows; 0: keeping is forbidden")
    tasks = serializers.IntegerField(help_text="Of which something is kept, and goes when it is turned off")
    bytes = serializers.IntegerField()
    since = serializers.DateTimeField(allow_null=True, help_text="Of the oldest")
    last_expires_at = serializers.DateTimeField(allow_null=True)


class ContentRetentionEnded(ContentRetentionOut):
    deleted = serializers.IntegerField(help_text="Tasks of which something was kept")


class ContentQuery(PageQuery):
    subject = serializers.CharField(
        default="", allow_blank=True, max_length=512,
        help_text="Of this end user, as `user` or `safety_identifier` of requests names them",
    )  # fmt: skip
    model = serializers.CharField(default="", allow_blank=True, max_length=128)
    since = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z")
    until = serializers.DateTimeField(required=False, help_text="Left out: until now")


class ContentRow(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Of the task")
    object = serializers.CharField(default="task.content")
    request_id = serializers.CharField()
    subject = serializers.CharField(allow_null=True, help_text="Pseudonym of the end user")
    endpoint = serializers.CharField()
    model = serializers.CharField()
    at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="Then it is deleted")
    request_bytes = serializers.IntegerField()
    answer_bytes = serializers.IntegerField()
    is_truncated = serializers.BooleanField(help_text="Longer than is kept of one task: the end is missing")


class ContentOut(ContentRow):
    request = serializers.CharField(help_text="The body as it was sent")
    answer = serializers.CharField(help_text="As it was sent; of a stream its events")


class ContentRetention(ManagementView):
    capabilities = {"GET": IN_CHARGE, "PUT": IN_CHARGE, "DELETE": IN_CHARGE}
    audits = {"PUT": "content_retention.set", "DELETE": "content_retention.ended"}

    @extend_schema(operation_id="get_content_retention", responses=ContentRetentionOut)
    def get(self, request: Request) -> Response:
        """Whether prompts and outputs of your tenant are kept, for how long, and how much is."""
        return Response(_retention(self.caller))

    @extend_schema(operation_id="keep_content", request=ContentRetentionBody, responses=ContentRetentionOut)
    def put(self, request: Request) -> Response:
        """Has them kept from the next request on, encrypted, each for so many days."""
        days = self.read_body(ContentRetentionBody)["days"]
        content_retention.keep_content(UUID(self.caller.tenant_id), days, actor=self.actor)
        return Response(_retention(self.caller))

    @extend_schema(
        operation_id="stop_keeping_content", request=ContentRetentionEnd, responses=ContentRetentionEnded
    )
    def delete(self, request: Request) -> Response:
        """Keeps nothing from the next request on, and deletes what was kept. It cannot be taken back."""
        confirm, slug = self.read_body(ContentRetentionEnd)["confirm"], self.caller.tenant_slug
        if confirm != slug:
            tasks = _retention(self.caller)["tasks"]
            raise InvalidInput(
                f"What was kept of {tasks} tasks is deleted for good: write {slug} to confirm.",
                param="confirm",
            )
        deleted = content_retention.stop_keeping(UUID(self.caller.tenant_id), actor=self.actor)
        return Response({**_retention(self.caller), "deleted": deleted})


class KeptContents(ManagementView):
    capabilities = {"GET": IN_CHARGE}

    @extend_schema(
        operation_id="list_kept_content", parameters=[ContentQuery], responses=ContentRow(many=True)
    )
    def get(self, request: Request) -> Response:
        """Tasks of which prompt and output are kept, newest first; not what they say."""
        query = self.read_query(ContentQuery)
        with tenant_tx(self.caller.tenant_id):
            rows = kept_rows().defer("ciphertext")
            if query["subject"]:
                rows = rows.filter(subject=subject_pseudonym(self.caller.tenant_id, query["subject"]))
            if query["model"]:
                rows = rows.filter(model=query["model"])
            if since := query.get("since"):
                rows = rows.filter(at__gte=since)
            if until := query.get("until"):
                rows = rows.filter(at__lt=until)
            found, cursor = page_of(rows, query)
        return list_response([described(row) for row in found], cursor)


class OneContent(ManagementView):
    capabilities = {"GET": IN_CHARGE}

    @extend_schema(operation_id="read_kept_content", responses=ContentOut)
    def get(self, request: Request, task: str) -> Response:
        """What a task was asked and answered. That you read it is recorded. `task`: its id, or that of its answer."""
        task_id = task_id_of(task)
        with tenant_tx(self.caller.tenant_id):
            try:
                found = read_content(task_id, actor=self.actor) if task_id else None
            except VaultGone:
                found = None
            except VaultBroken:
                raise StateConflict("What is kept of this task was altered, and cannot be read.") from None
        if found is None:
            raise NotFound(NOT_KEPT)
        return Response(shown(*found))


def _retention(caller: Caller) -> dict[str, Any]:
    with tenant_tx(caller.tenant_id):
        tenant = Tenant.objects.get(id=caller.tenant_id)
        return {**content_retention.retention_of(tenant), "tenant": tenant.slug}
