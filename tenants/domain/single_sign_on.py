"""Where the people of a tenant log in: by OpenID Connect or SAML.

Set by the operator, for two reasons: the queen fetches what the issuer names, and an address in one of the domains is
the provider's to speak for, so somebody has to know that the domain is the tenant's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from cryptography.x509 import load_pem_x509_certificate

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from gdpr.secrets import seal, unseal
from tenants.domain.members import add_member
from tenants.domain.tenancy import OPERATOR_TENANTS, TenantRefused
from tenants.enums import ProviderKind, Role, TenantStatus
from tenants.models import IdentityProvider, Member, User

LABEL: Final = "identity-provider"


def set_oidc_provider(
    tenant_id: UUID, *, issuer: str, client_id: str, client_secret: str | None, actor: Actor, **shared: Any
) -> IdentityProvider:
    """`shared`: domains and default_role. `client_secret` None leaves it as it is. Raises TenantRefused."""
    fields: dict[str, Any] = {"issuer": issuer.rstrip("/"), "client_id": client_id}
    if client_secret:
        fields["secret_sealed"] = seal(client_secret, LABEL)
    return _set(tenant_id, ProviderKind.OIDC, fields, actor=actor, **shared)


def set_saml_provider(
    tenant_id: UUID, *, entity_id: str, sso_url: str, certificate: str, actor: Actor, **shared: Any
) -> IdentityProvider:
    """`shared`: domains and default_role. Raises TenantRefused, also for a certificate that is none."""
    try:
        load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise TenantRefused("certificate", "This is no X.509 certificate in PEM.") from None
    fields = {"issuer": entity_id, "sso_url": sso_url, "certificate": certificate.strip()}
    return _set(tenant_id, ProviderKind.SAML, fields, actor=actor, **shared)


def _set(
    tenant_id: UUID,
    kind: ProviderKind,
    fields: Mapping[str, Any],
    *,
    domains: Sequence[str],
    default_role: str,
    actor: Actor,
) -> IdentityProvider:
    domains = sorted({domain.strip().lower() for domain in domains})
    if default_role in {Role.OWNER, Role.AUDITOR}:
        raise TenantRefused(
            "default_role", "A provider brings no owners, and no auditors: their time has an end."
        )
    with colony_tx("identity provider of a tenant"):
        others = IdentityProvider.objects.exclude(tenant_id=tenant_id)
        if others.filter(domains__overlap=domains).exists():
            raise TenantRefused("domains", "One of these domains belongs to the provider of another tenant.")
        provider = IdentityProvider.objects.filter(tenant_id=tenant_id).first()
        if provider is None or provider.kind != kind:
            if kind == ProviderKind.OIDC and "secret_sealed" not in fields:
                raise TenantRefused("client_secret", "The provider's secret is missing.")
            before = provider
            provider = IdentityProvider(tenant_id=tenant_id, kind=kind)
            if before is not None:
                before.delete()
        for name, value in {**fields, "domains": domains, "default_role": default_role}.items():
            setattr(provider, name, value)
        provider.save()
        record(
            "identity_provider.set",
            actor=actor,
            tenant_id=tenant_id,
            object_ref=f"identity_provider:{provider.id.hex}",
            details={"kind": str(kind), "domains": domains, "default_role": str(default_role)},
        )
    return provider


def remove_provider(provider: IdentityProvider, *, actor: Actor) -> None:
    """Nobody logs in by it any more; whoever it brought stays a member."""
    with tenant_tx(provider.tenant_id):
        record(
            "identity_provider.removed",
            actor=actor,
            object_ref=f"identity_provider:{provider.id.hex}",
        )
        provider.delete()


def providers(tenant_slug: str) -> list[IdentityProvider]:
    """That of a tenant whose people may log in, if it has one."""
    with colony_tx("identity provider of a tenant"):
        rows = IdentityProvider.objects.select_related("tenant").exclude(tenant__status=TenantStatus.CLOSED)
        return list(rows.filter(tenant__slug=tenant_slug))


def client_secret_of(provider: IdentityProvider) -> str:
    return unseal(bytes(provider.secret_sealed), LABEL)


def speaks_for(provider: IdentityProvider, email: str) -> bool:
    return email.strip().lower().rpartition("@")[2] in provider.domains


def may_bring(provider: IdentityProvider, user: User) -> bool:
    """An operator logs in by the operator's own provider only: no tenant's server lets anybody in as one of them."""
    if not speaks_for(provider, user.email):
        return False
    with colony_tx("is this an operator"):
        is_operator = Member.objects.filter(user=user, tenant__slug__in=OPERATOR_TENANTS).exists()
    return not is_operator or provider.tenant.slug in OPERATOR_TENANTS


def bring(provider: IdentityProvider, user: User) -> None:
    """Makes who logged in by it a member, when they are none."""
    with tenant_tx(provider.tenant_id):
        is_member = Member.objects.filter(user=user).exists()
        if not is_member and provider.tenant.status == TenantStatus.ACTIVE:
            add_member(provider.tenant_id, user, provider.default_role, actor=Actor.user(user.id))
