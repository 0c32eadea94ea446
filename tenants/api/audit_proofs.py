"""`/gdpr/audit/…`: what lets a tenant check the audit log without trusting whoever runs it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.audit_proofs import LogDamaged, LogUnavailable, PublishedLog, find_entry
from tenants.api.base import ManagementView
from tenants.api.tenancy import scope_of
from tenants.rules import Capability

SIZE_MAX = 2**53 - 1
TEXT = "text/plain; charset=utf-8"

logger = logging.getLogger(__name__)


class NotPublished(APIException):
    status_code = 503
    default_code = "not_published"
    wait = 1.0  # tells when to try again


class Damaged(APIException):
    status_code = 500
    default_code = "audit_log_damaged"
    default_detail = (
        "The audit log does not prove what it should. Tell the operator, and keep your last checkpoint."
    )


@contextmanager
def as_answers() -> Iterator[None]:
    try:
        yield
    except LogUnavailable as error:
        raise NotPublished(str(error)) from None
    except LogDamaged as error:
        logger.error("the audit log is damaged: %s", error)
        raise Damaged from None


class Checkpoint(ManagementView):
    capabilities = {"GET": Capability.TENANT_READ}

    @extend_schema(
        operation_id="get_audit_checkpoint",
        responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, "A signed note")},
    )
    def get(self, request: Request) -> HttpResponse:
        """How many entries the audit log has, and the root of its tree, signed: C2SP tlog-checkpoint. Keep one, and any
        later log has to fit it."""
        with as_answers():
            return HttpResponse(PublishedLog().note, content_type=TEXT)


class Key(ManagementView):
    capabilities = {"GET": Capability.TENANT_READ}

    @extend_schema(
        operation_id="get_audit_key",
        responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, "A key on each line")},
    )
    def get(self, request: Request) -> HttpResponse:
        """By which checkpoints are verified. Keep it too: a key that comes with what it signed proves little."""
        with as_answers():
            return HttpResponse(PublishedLog().keys_text, content_type=TEXT)


class ProofQuery(serializers.Serializer[Any]):
    entry = serializers.UUIDField(required=False, help_text="The id of an entry")
    index = serializers.IntegerField(
        required=False, min_value=0, max_value=SIZE_MAX, help_text="Its place in the log"
    )

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of Python."""
        size: dict[str, Any] = {"required": False, "min_value": 0, "max_value": SIZE_MAX}
        return {
            **super().get_fields(),
            "from": serializers.IntegerField(**size, help_text="The size of a checkpoint that you kept"),
            "to": serializers.IntegerField(**size, help_text="Of a later one; left out: the newest"),
        }


class InclusionOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="audit.inclusion_proof")
    id = serializers.UUIDField()
    index = serializers.IntegerField()
    entry = serializers.CharField(help_text="The bytes in the log, as text")
    proof = serializers.CharField(help_text="C2SP tlog-proof: entry, hashes and checkpoint in one text")


class ConsistencyOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="audit.consistency_proof")
    old_size = serializers.IntegerField()
    new_size = serializers.IntegerField()
    old_root = serializers.CharField(help_text="Base64, as in checkpoints")
    new_root = serializers.CharField()
    hashes = serializers.ListField(child=serializers.CharField(), help_text="RFC 6962, base64")
    checkpoint = serializers.CharField(help_text="The newest")


class Proof(ManagementView):
    capabilities = {"GET": Capability.AUDIT_READ}

    @extend_schema(
        operation_id="get_audit_proof",
        parameters=[ProofQuery],
        responses=PolymorphicProxySerializer(
            "AuditProof", [InclusionOut, ConsistencyOut], resource_type_field_name=None
        ),
    )
    def get(self, request: Request) -> Response:
        """That an entry of yours is in the log (`entry` or `index`), or that the log of `to` entries begins with that of
        `from`."""
        query = self.read_query(ProofQuery)
        asked = {"entry", "index", "from"} & query.keys()
        if len(asked) != 1:
            raise ValidationError({"entry": ["Ask by one of entry, index and from."]})
        if "from" in query:
            return self._consistency(query["from"], query.get("to"))
        with scope_of(self.caller, "a proof of an audit entry"):
            entry = find_entry(entry_id=query.get("entry"), index=query.get("index"))
        if entry is None:
            raise NotFound("There is no such entry.")
        with as_answers():
            found = PublishedLog().prove_entry(entry)
        return Response(
            {
                "object": "audit.inclusion_proof",
                "id": str(entry.id),
                "index": found.index,
                "entry": found.entry.decode(),
                "proof": str(found),
            }
        )

    def _consistency(self, old: int, new: int | None) -> Response:
        with as_answers():
            log = PublishedLog()
            try:
                found = log.prove_growth(old, log.checkpoint.size if new is None else new)
            except ValueError as error:
                raise ValidationError({"from": [f"{error}."]}) from None
        return Response(
            {
                "object": "audit.consistency_proof",
                "old_size": found.old,
                "new_size": found.new,
                "old_root": base64.b64encode(found.old_root).decode(),
                "new_root": base64.b64encode(found.new_root).decode(),
                "hashes": found.hashes,
                "checkpoint": log.note,
            }
        )
