from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain import signing
from gdpr.domain.erasure_ledger import LedgerBroken
from gdpr.domain.replays import replay
from gdpr.holding import Identity, Whose
from gdpr.request_models import DataRequest, RequestKind
from tenants.api.base import ManagementView
from tenants.api.data_requests import EITHER, DataRequestView, RequestOut, WhomQuery, shown, status_url
from tenants.api.permissions import user_of
from tenants.api.recency import require_recent_login
from tenants.api.tenancy import tenant_of
from tenants.domain.data_requests import NotTheirs, erase, take_erasure_back
from tenants.domain.tenancy import StateRefused
from tenants.rules import Capability


class ErasureBody(WhomQuery):
    confirm = serializers.CharField(
        max_length=512,
        help_text="The tenant's slug, the end user's name, or your e-mail address: so that nobody erases another by"
        " mistake",
    )


class ErasureAccepted(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status_url = serializers.CharField()
    grace_until = serializers.DateTimeField(help_text="Until then it can be cancelled")


class Signature(serializers.Serializer[Any]):
    algorithm = serializers.CharField()
    key = serializers.CharField()
    value = serializers.CharField()


class CertificateOut(serializers.Serializer[Any]):
    document = serializers.DictField()
    signature = Signature()


class SigningKeyOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="signing_key")
    algorithm = serializers.CharField()
    key = serializers.CharField(help_text="In base64")


class ReplayedErasures(serializers.Serializer[Any]):
    object = serializers.CharField(default="replay")
    erased = RequestOut(many=True)


class Erasures(DataRequestView):
    capabilities = {"POST": EITHER, "DELETE": EITHER}
    audits = {"POST": "gdpr.erasure.requested", "DELETE": "gdpr.erasure.requested"}

    @extend_schema(operation_id="erase", request=ErasureBody, responses={202: ErasureAccepted})
    def post(self, request: Request) -> Response:
        """Erases an account, a tenant, or an end user of a tenant (Art. 17), once its time of grace is over."""
        body = self.read(ErasureBody, {**request.query_params.dict(), **dict(request.data)})
        identity = self.identity(body)
        self._confirm(body, identity)
        erasure = self._begin(identity)
        return Response(
            {
                "id": str(erasure.id),
                "status_url": status_url(erasure),
                "grace_until": erasure.grace_until,
            },
            status.HTTP_202_ACCEPTED,
        )

    @extend_schema(operation_id="erase_by_delete", request=ErasureBody, responses={202: ErasureAccepted})
    def delete(self, request: Request) -> Response:
        """As POST. Where a client sends no body with it, its fields may stand in the query."""
        return self.post(request)

    def _confirm(self, body: dict[str, Any], identity: Identity) -> None:
        user = user_of(self.request)
        if user is not None:
            require_recent_login(self.request)
        if identity.whose is Whose.PERSON:
            wanted, given = (user.email if user else ""), body["confirm"].strip().lower()
        elif identity.whose is Whose.SUBJECT:
            wanted, given = body["subject"], body["confirm"]
        else:
            wanted, given = tenant_of(self.caller, body["tenant"]).slug, body["confirm"]
        if given != wanted:
            raise ValidationError({"confirm": [f"Write {wanted} to confirm."]})

    def _begin(self, identity: Identity) -> DataRequest:
        try:
            return erase(self.asker, identity)
        except NotTheirs as error:
            raise PermissionDenied(str(error)) from None


class OneErasure(DataRequestView):
    capabilities = {"GET": EITHER}

    @extend_schema(operation_id="get_erasure", responses=RequestOut)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(shown(self.find(request_id, RequestKind.ERASURE)))


class CancelErasure(DataRequestView):
    capabilities = {"POST": EITHER}
    audits = {"POST": "gdpr.erasure.cancelled"}

    @extend_schema(operation_id="cancel_erasure", request=None, responses=RequestOut)
    def post(self, request: Request, request_id: UUID) -> Response:
        """While its time of grace lasts."""
        erasure = self.find(request_id, RequestKind.ERASURE)
        take_erasure_back(erasure, actor=self.actor)
        return Response(shown(self.find(request_id, RequestKind.ERASURE)))


class Certificate(DataRequestView):
    capabilities = {"GET": EITHER}

    @extend_schema(operation_id="get_certificate", responses=CertificateOut)
    def get(self, request: Request, request_id: UUID) -> Response:
        """What was erased, where it was looked for afterwards, and what is kept, under which law and until when; signed."""
        erasure = self.find(request_id, RequestKind.ERASURE)
        certificate = erasure.result.get("certificate")
        if certificate is None:
            raise StateRefused("id", f"This erasure is {erasure.state}: it is certified once it is verified.")
        return Response(certificate)


class SigningKey(ManagementView):
    capabilities = {"GET": Capability.PUBLIC}

    @extend_schema(operation_id="get_signing_key", responses=SigningKeyOut)
    def get(self, request: Request) -> Response:
        """By which certificates and the manifests of exports are checked."""
        return Response(
            {"object": "signing_key", "algorithm": signing.ALGORITHM, "key": signing.public_key()}
        )


class Replay(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "gdpr.erasure.replayed"}

    @extend_schema(operation_id="replay_erasures", request=None, responses=ReplayedErasures)
    def post(self, request: Request) -> Response:
        """After a backup was restored: erases again what the ledger has and this database does not. Nothing else is served
        until then."""
        try:
            found = replay(actor=self.actor)
        except LedgerBroken as error:
            raise StateRefused("ledger", f"{error}: put back a whole copy of it.") from None
        return Response({"object": "replay", "erased": [shown(each) for each in found]})
