"""What a caller may do: by the role of a person, the scopes of a key, and the state of the tenant."""

from __future__ import annotations

from tenants.domain.authentication import Caller, Person
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.enums import Role, TenantStatus
from tenants.rules import (
    COLONY,
    GIVES,
    IMPERSONATED,
    IMPERSONATED_WRITING,
    ROLES,
    WHILE_SUSPENDED,
    Capabilities,
    Capability,
    scope_capabilities,
)


def capabilities_of(caller: Caller) -> Capabilities:
    if not isinstance(caller, Person):
        granted = scope_capabilities(caller.scopes)
    elif caller.impersonation_id:
        granted = IMPERSONATED_WRITING if caller.writes else IMPERSONATED
    else:
        granted = ROLES[caller.role]
    if isinstance(caller, Person) and caller.status != TenantStatus.ACTIVE:
        granted &= WHILE_SUSPENDED
    return granted if caller.tenant_slug in OPERATOR_TENANTS else granted - COLONY


def is_operators(caller: Caller) -> bool:
    """Who asks is one of the operator's own, also while they are in a tenant's place."""
    if isinstance(caller, Person) and caller.impersonation_id:
        return True
    return caller.tenant_slug in OPERATOR_TENANTS


def may_see_details(caller: Caller) -> bool:
    """Personal details of audit entries: a person who answers for the tenant's data, or the operator. No key of a tenant,
    and no operator in a tenant's place."""
    if caller.tenant_slug in OPERATOR_TENANTS:
        return may(caller, Capability.AUDIT_READ)
    return (
        isinstance(caller, Person)
        and caller.role in {Role.OWNER, Role.DPO}
        and may(caller, Capability.AUDIT_READ)
    )


def may(caller: Caller, *wanted: Capability) -> bool:
    """One of `wanted` is enough."""
    return not capabilities_of(caller).isdisjoint(wanted)


def may_grant_scopes(caller: Caller, scopes: frozenset[str]) -> bool:
    """Nobody issues a key that may do more than they may themselves."""
    return capabilities_of(caller) >= scope_capabilities(scopes) - COLONY


def roles_given_by(caller: Caller) -> frozenset[str]:
    """Which roles of members this caller gives and takes. The operator also gives a tenant its owner."""
    if may(caller, Capability.COLONY_WRITE):
        return frozenset(Role.values)
    role = caller.role if isinstance(caller, Person) else Role.ADMIN
    return GIVES.get(role, frozenset()) if may(caller, Capability.MEMBERS_WRITE) else frozenset()
