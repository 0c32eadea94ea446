from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import colony_tx
from tenants.api.base import ManagementView, deleted_response
from tenants.api.etags import tagged, unchanged
from tenants.api.tenancy import find_tenant, scope_of
from tenants.domain import single_sign_on
from tenants.enums import ProviderKind, Role
from tenants.models import IdentityProvider, Tenant
from tenants.rules import Capability

DOMAIN = r"^(?=.{1,253}\Z)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}\Z"


class ProviderOut(serializers.ModelSerializer[IdentityProvider]):
    object = serializers.CharField(default="identity_provider", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    callback_url = serializers.SerializerMethodField()
    login_url = serializers.SerializerMethodField()

    class Meta:
        model = IdentityProvider
        fields = [
            "id", "object", "tenant", "kind", "issuer", "client_id", "sso_url", "certificate", "domains", "default_role",
            "callback_url", "login_url", "created_at",
        ]  # fmt: skip

    def get_callback_url(self, provider: IdentityProvider) -> str:
        """Of SAML: its assertion consumer service; its metadata is beside it."""
        is_saml = provider.kind == ProviderKind.SAML
        return f"{_base(provider)}acs/" if is_saml else f"{self.get_login_url(provider)}callback/"

    def get_login_url(self, provider: IdentityProvider) -> str:
        return f"{_base(provider)}login/"


class NewProvider(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(ProviderKind.choices, default=ProviderKind.OIDC)
    issuer = serializers.CharField(max_length=500, help_text="Its URL; of SAML its entity id")
    client_id = serializers.CharField(
        max_length=191, default="", allow_blank=True, help_text="Of OpenID Connect"
    )
    client_secret = serializers.CharField(
        max_length=191, required=False, help_text="Left out: as it was; shown to nobody"
    )
    sso_url = serializers.URLField(max_length=500, default="", allow_blank=True, help_text="Of SAML")
    certificate = serializers.CharField(
        max_length=10_000,
        default="",
        allow_blank=True,
        help_text="Of SAML, in PEM: what signs its assertions",
    )
    domains = serializers.ListField(
        child=serializers.RegexField(DOMAIN), min_length=1, max_length=50,
        help_text="Domains of e-mail that you know to be the tenant's",
    )  # fmt: skip
    default_role = serializers.ChoiceField(Role.choices, default=Role.VIEWER)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        is_saml = attrs["kind"] == ProviderKind.SAML
        for name in ("sso_url", "certificate") if is_saml else ("client_id",):
            if not attrs[name]:
                raise serializers.ValidationError({name: [f"A provider of {attrs['kind']} needs this."]})
        if not is_saml:
            try:
                serializers.URLField().run_validation(attrs["issuer"])
            except serializers.ValidationError as error:
                raise serializers.ValidationError({"issuer": error.detail}) from None
        return attrs


class SingleSignOn(ManagementView):
    has_etag = True
    capabilities = {
        "GET": (Capability.TENANT_READ, Capability.COLONY_READ),
        "PUT": Capability.COLONY_WRITE,
        "DELETE": Capability.COLONY_WRITE,
    }
    audits = {"PUT": "identity_provider.set", "DELETE": "identity_provider.removed"}

    @extend_schema(operation_id="get_single_sign_on", responses=ProviderOut)
    def get(self, request: Request, slug: str) -> Response:
        return tagged(self.shown(slug))

    @extend_schema(operation_id="set_single_sign_on", request=NewProvider, responses=ProviderOut)
    def put(self, request: Request, slug: str) -> Response:
        """Where the tenant's people log in, by OpenID Connect or SAML."""
        tenant = self.tenant(slug)
        body = self.read_body(NewProvider)
        scope = colony_tx("an identity provider, if unchanged")
        with unchanged(request, scope, tenant, lambda _: self.shown(slug)):
            self.set(tenant, body)
        return tagged(self.shown(slug))

    @extend_schema(operation_id="remove_single_sign_on", responses={200: None})
    def delete(self, request: Request, slug: str) -> Response:
        single_sign_on.remove_provider(self.found(slug), actor=self.actor)
        return deleted_response("identity_provider", slug)

    def set(self, tenant: Tenant, body: dict[str, Any]) -> None:
        shared = {"domains": body["domains"], "default_role": body["default_role"], "actor": self.actor}
        if body["kind"] == ProviderKind.SAML:
            single_sign_on.set_saml_provider(
                tenant.id,
                entity_id=body["issuer"],
                sso_url=body["sso_url"],
                certificate=body["certificate"],
                **shared,
            )
        else:
            single_sign_on.set_oidc_provider(
                tenant.id,
                issuer=body["issuer"],
                client_id=body["client_id"],
                client_secret=body.get("client_secret"),
                **shared,
            )

    def tenant(self, slug: str) -> Tenant:
        with scope_of(self.caller, "a tenant"):
            return find_tenant(slug)

    def shown(self, slug: str) -> Any:
        return ProviderOut(self.found(slug)).data

    def found(self, slug: str) -> IdentityProvider:
        tenant = self.tenant(slug)
        with scope_of(self.caller, "an identity provider"):
            provider = IdentityProvider.objects.select_related("tenant").filter(tenant=tenant).first()
        if provider is None:
            raise NotFound("This tenant has no identity provider.")
        return provider


def _base(provider: IdentityProvider) -> str:
    return f"{settings.RBEE.public_url}/accounts/{provider.kind}/{provider.tenant.slug}/"
