from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from inference.domain import hives
from inference.domain.attestations import attest_hive, withdraw_attestation
from inference.models import Hive
from inference.rest.colony import Colony
from inference.rest.fields import HiveOut, JoinTokenOut, NewAttestation, NewJoinToken
from tenants.api.base import ManagementView, PageQuery, deleted_response, list_response, page_of
from tenants.rules import Capability


class Hives(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="list_hives", parameters=[PageQuery], responses=HiveOut(many=True))
    def get(self, request: Request) -> Response:
        found, cursor = page_of(Hive.objects.filter(removed_at=None), self.read_query(PageQuery))
        colony = Colony()
        return list_response([colony.hive(hive) for hive in found], cursor)


class OneHive(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "DELETE": Capability.COLONY_WRITE}
    audits = {"DELETE": "hive.removed"}

    @extend_schema(operation_id="get_hive", responses=HiveOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(Colony().hive(hives.hive_named(name)))

    @extend_schema(operation_id="remove_hive", responses={200: None})
    def delete(self, request: Request, name: str) -> Response:
        hives.remove_hive(hives.hive_named(name), actor=self.actor)
        return deleted_response("hive", name)


class HiveAttestation(ManagementView):
    capabilities = {"PUT": Capability.COLONY_WRITE, "DELETE": Capability.COLONY_WRITE}
    audits = {"PUT": "hive.attested", "DELETE": "hive.attestation_withdrawn"}

    @extend_schema(operation_id="attest_hive", request=NewAttestation, responses=HiveOut)
    def put(self, request: Request, name: str) -> Response:
        """Vouches for where a machine stands. Tenants that are bound to a region are served by attested hives only."""
        hive = hives.hive_named(name)
        body = self.read_body(NewAttestation)
        attested = attest_hive(hive, region=body["region"], until=body.get("until"), actor=self.actor)
        return Response(Colony().hive(attested))

    @extend_schema(operation_id="withdraw_attestation", responses=HiveOut)
    def delete(self, request: Request, name: str) -> Response:
        """The hive is in no region from then on."""
        hive = withdraw_attestation(hives.hive_named(name), actor=self.actor)
        return Response(Colony().hive(hive))


class JoinTokens(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "hive.token_created"}
    shown_once = "token"

    @extend_schema(operation_id="create_join_token", request=NewJoinToken, responses={201: JoinTokenOut})
    def post(self, request: Request) -> Response:
        """Lets one machine join, within ten minutes. Its region and labels are said here, not by the machine."""
        body = self.read_body(NewJoinToken)
        row, token = hives.create_join_token(
            region=body["region"], labels=body["labels"], model_names=body["models"], actor=self.actor
        )
        answer = {
            "object": "join_token",
            "token": token,
            "expires_at": row.expires_at,
            "expires_in_s": int(hives.JOIN_TOKEN_LIFETIME.total_seconds()),
            "region": row.region,
            "labels": row.labels,
            "models": row.model_names,
            "join_url": _join_url(),
        }
        return Response(answer, status.HTTP_201_CREATED)


def _join_url() -> str | None:
    """None when other machines cannot reach it: whoever asks knows a better one."""
    url = settings.RBEE.public_url
    host = urlsplit(url).hostname or ""
    try:
        return None if ipaddress.ip_address(host).is_loopback else url
    except ValueError:
        return None if host == "localhost" else url
