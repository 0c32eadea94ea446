from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain import rotation
from gdpr.keys.base import NotRotatable
from gdpr.roots import RootsFixed
from tenants.api.base import ManagementView, list_response
from tenants.domain.tenancy import StateRefused
from tenants.rules import Capability


class EncryptionKeyOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.CharField(default="encryption_key")
    of = serializers.CharField(
        help_text="details: wraps the keys of people's details; secret_key: a root secret"
    )
    is_newest = serializers.BooleanField(help_text="What is made from now on is made by it")
    since = serializers.CharField(
        allow_blank=True, help_text="Empty: from the beginning, or where nobody says"
    )
    uses = serializers.IntegerField(
        help_text="What would be lost with it; of the newest root secret nobody counts"
    )
    holders = serializers.DictField(child=serializers.IntegerField())


class RotatedKeyOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.CharField(default="encryption_key")
    of = serializers.CharField()
    is_newest = serializers.BooleanField()


class RetiredKeyOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.CharField(default="encryption_key")
    retired = serializers.BooleanField()


class EncryptionKeyRotation(serializers.Serializer[Any]):
    of = serializers.ChoiceField([rotation.DETAILS, rotation.ROOT], default=rotation.DETAILS)


class EncryptionKeyRetirement(serializers.Serializer[Any]):
    id = serializers.CharField(max_length=300)
    force = serializers.BooleanField(
        default=False,
        help_text="Of a root secret: give up what is left, such as API keys that nobody has used since",
    )


class EncryptionKeys(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="list_encryption_keys", responses=EncryptionKeyOut(many=True))
    def get(self, request: Request) -> Response:
        """Those of details and root secrets, newest first, with what each is still needed for."""
        return list_response([{"object": "encryption_key", **row._asdict()} for row in rotation.list_keys()])


class RotateEncryptionKey(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": ("key_encryption.rotated", "root_secret.rotated")}

    @extend_schema(
        operation_id="rotate_encryption_key", request=EncryptionKeyRotation, responses={201: RotatedKeyOut}
    )
    def post(self, request: Request) -> Response:
        """Makes a key that takes the place of the newest one, while everything runs. What others made follows in the
        background."""
        wanted = self.read_body(EncryptionKeyRotation)["of"]
        rotate = rotation.rotate_root if wanted == rotation.ROOT else rotation.rotate_details
        try:
            made = rotate(actor=self.actor)
        except (NotRotatable, RootsFixed) as error:
            raise StateRefused("of", str(error)) from None
        row = {"id": made, "object": "encryption_key", "of": wanted, "is_newest": True}
        return Response(row, status.HTTP_201_CREATED)


class RetireEncryptionKey(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": ("key_encryption.retired", "root_secret.retired")}

    @extend_schema(
        operation_id="retire_encryption_key", request=EncryptionKeyRetirement, responses=RetiredKeyOut
    )
    def post(self, request: Request) -> Response:
        """For good. Refused while something needs it, with how much."""
        body = self.read_body(EncryptionKeyRetirement)
        try:
            rotation.retire(body["id"], force=body["force"], actor=self.actor)
        except rotation.KeyInUse as error:
            raise StateRefused("id", f"{error} ({sum(error.uses.values())} left)") from None
        except (NotRotatable, RootsFixed) as error:
            raise StateRefused("id", str(error)) from None
        return Response({"id": body["id"], "object": "encryption_key", "retired": True})
