from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.documents import LANGUAGES, OF_OPERATOR, Document, render
from gdpr.domain.measures import measures_in_force
from tenants.api.base import ManagementView
from tenants.api.data_map import NamedOperator
from tenants.api.permissions import is_operator
from tenants.api.sub_processors import shown_sub_processors
from tenants.domain.sub_processors import NOTICE_DAYS
from tenants.rules import Capability


class DocumentQuery(NamedOperator):
    lang = serializers.ChoiceField(LANGUAGES, default="en")
    customer_name = serializers.CharField(
        default="", allow_blank=True, max_length=200, help_text="With whom an agreement is made"
    )


class DocumentOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="gdpr.document")
    kind = serializers.CharField()
    lang = serializers.CharField()
    text = serializers.CharField(help_text="Markdown")


class Documents(ManagementView):
    capabilities = {"GET": (Capability.GDPR_REQUEST, Capability.COLONY_READ)}

    @extend_schema(operation_id="get_document", parameters=[DocumentQuery], responses=DocumentOut)
    def get(self, request: Request, kind: str) -> Response:
        """A document with the facts of this installation filled in: dpa, subprocessors, security, and for the operator dpia
        and breach-runbook. No legal advice."""
        query = self.read_query(DocumentQuery)
        if kind not in set(Document) or (kind in OF_OPERATOR and not is_operator(self.caller)):
            raise NotFound(f"There is no such document; there are {', '.join(Document)}.")
        text = rendered(
            Document(kind),
            operator_name=query["operator_name"],
            contact=query["contact"],
            customer_name=query["customer_name"],
            language=query["lang"],
        )
        return Response(DocumentOut({"kind": kind, "lang": query["lang"], "text": text}).data)


def rendered(document: Document, **named: str) -> str:
    """With what is in force here. `named`: what only who asks can say."""
    return render(
        document,
        **named,
        notice_days=NOTICE_DAYS,
        measures=measures_in_force(),
        sub_processors=shown_sub_processors(),
    )
