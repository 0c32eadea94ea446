"""Who may do what through the management API: one table of roles, and what keys and impersonations may.

A view names the capability that each of its methods takes. What is the colony's own (`COLONY`) is given to members and
keys of the operator's tenant only, whatever their role says.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from tenants.enums import KeyScope, Role

TENANT_HEADER: Final = "X-Tenant"  # by which a person of several tenants says which one they mean


class Capability(StrEnum):
    PUBLIC = "public"  # anybody, also without an account
    ACCOUNT = "account"  # anybody who is logged in, member of a tenant or not

    TENANT_READ = "tenant.read"
    TENANT_WRITE = "tenant.write"
    TENANT_DELETE = "tenant.delete"
    TENANT_TRANSFER = "tenant.transfer"
    MEMBERS_READ = "members.read"
    MEMBERS_WRITE = "members.write"
    PROJECTS_READ = "projects.read"
    PROJECTS_WRITE = "projects.write"
    KEYS_READ = "keys.read"
    KEYS_WRITE = "keys.write"
    LIMITS_READ = "limits.read"
    LIMITS_WRITE = "limits.write"
    USAGE_READ = "usage.read"
    TASKS_READ = "tasks.read"
    BILLING_READ = "billing.read"
    BILLING_WRITE = "billing.write"
    POLICIES_READ = "policies.read"
    POLICIES_WRITE = "policies.write"
    WEBHOOKS_READ = "webhooks.read"
    WEBHOOKS_WRITE = "webhooks.write"
    ALERTS_READ = "alerts.read"
    ALERTS_WRITE = "alerts.write"
    GDPR_REQUEST = "gdpr.request"
    AUDIT_READ = "audit.read"
    IMPERSONATIONS_READ = "impersonations.read"
    IMPERSONATIONS_END = "impersonations.end"

    COLONY_READ = "colony.read"
    COLONY_WRITE = "colony.write"


C = Capability
Capabilities = frozenset[Capability]

EVERYBODY: Final = frozenset({C.PUBLIC, C.ACCOUNT})
COLONY: Final = frozenset({C.COLONY_READ, C.COLONY_WRITE})
ALL: Final = frozenset(Capability) - EVERYBODY

_OWNERSHIP = frozenset({C.TENANT_DELETE, C.TENANT_TRANSFER})
_DATA_PROTECTION = frozenset({C.GDPR_REQUEST})  # of the owner and the data-protection officer

ROLES: Final[Mapping[str, Capabilities]] = {
    Role.OWNER: ALL,
    Role.ADMIN: ALL - _OWNERSHIP - _DATA_PROTECTION,
    Role.DEVELOPER: frozenset({
        C.TENANT_READ, C.MEMBERS_READ, C.PROJECTS_READ, C.PROJECTS_WRITE, C.KEYS_READ, C.KEYS_WRITE, C.LIMITS_READ,
        C.USAGE_READ, C.TASKS_READ, C.POLICIES_READ, C.POLICIES_WRITE, C.WEBHOOKS_READ, C.WEBHOOKS_WRITE, C.ALERTS_READ,
        C.ALERTS_WRITE, C.COLONY_READ,
    }),
    Role.BILLING: frozenset({
        C.TENANT_READ, C.PROJECTS_READ, C.LIMITS_READ, C.USAGE_READ, C.BILLING_READ, C.BILLING_WRITE, C.ALERTS_READ,
    }),
    Role.VIEWER: frozenset({
        C.TENANT_READ, C.PROJECTS_READ, C.KEYS_READ, C.LIMITS_READ, C.USAGE_READ, C.TASKS_READ, C.POLICIES_READ,
        C.ALERTS_READ,
        C.COLONY_READ,
    }),
    Role.DPO: frozenset({
        C.TENANT_READ, C.MEMBERS_READ, C.PROJECTS_READ, C.POLICIES_READ, C.GDPR_REQUEST, C.AUDIT_READ,
        C.IMPERSONATIONS_READ, C.IMPERSONATIONS_END,
    }),
    # Each request of theirs is in the log: `tenants.domain.auditors`.
    Role.AUDITOR: frozenset({
        C.TENANT_READ, C.MEMBERS_READ, C.PROJECTS_READ, C.LIMITS_READ, C.POLICIES_READ, C.BILLING_READ, C.AUDIT_READ,
        C.IMPERSONATIONS_READ, C.COLONY_READ,
    }),
}  # fmt: skip

READS: Final = frozenset(one for one in ALL if one.endswith(".read"))

# A key that manages does what an administrator does, one that reads sees what an administrator sees. Ownership is a
# person's.
SCOPES: Final[Mapping[str, Capabilities]] = {
    KeyScope.MANAGE: ROLES[Role.ADMIN],
    KeyScope.READ: ROLES[Role.ADMIN] & READS,
    KeyScope.GDPR: _DATA_PROTECTION,
}
# What is left while a tenant is suspended or on its way out: looking, paying, leaving, and its rights over its data.
WHILE_SUSPENDED: Final = READS | {
    C.BILLING_WRITE, C.GDPR_REQUEST, C.TENANT_DELETE, C.IMPERSONATIONS_END
}  # fmt: skip

# The operator in a tenant's place sees how it is set up. Nothing that shows a secret, as a key that is issued would,
# or that would outlast the visit, as a member who is invited would.
IMPERSONATED: Final = READS - COLONY
IMPERSONATED_WRITING: Final = IMPERSONATED | {
    C.TENANT_WRITE,
    C.PROJECTS_WRITE,
    C.POLICIES_WRITE,
    C.ALERTS_WRITE,
}

# Roles that a member of this role may give and take. An owner is made by transfer only.
GIVES: Final[Mapping[str, frozenset[str]]] = {
    Role.OWNER: frozenset(Role.values) - {Role.OWNER},
    Role.ADMIN: frozenset(Role.values) - {Role.OWNER},
}


def scope_capabilities(scopes: frozenset[str]) -> Capabilities:
    return frozenset().union(*(SCOPES.get(scope, frozenset()) for scope in scopes))
