from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.domain.authentication import Limits, Person
from tenants.domain.rights import capabilities_of, may_grant_scopes, roles_given_by
from tenants.enums import KeyScope, Role, TenantStatus
from tenants.rules import COLONY, EVERYBODY, IMPERSONATED, IMPERSONATED_WRITING, READS, ROLES, Capability

SLUGS = st.sampled_from(["acme", "operator", "home"])


def person(**fields: object) -> Person:
    return Person(
        **{
            "tenant_id": "", "tenant_slug": "acme", "tier": "", "plan_slug": "", "project_id": "", "key_id": "",
            "kid": "", "scopes": frozenset(), "region": "", "industry": "", "gdpr_consent": False, "limits": Limits(),
            "role": "viewer",
        } | fields
    )  # fmt: skip


people = st.builds(
    person,
    tenant_slug=SLUGS,
    role=st.sampled_from(Role.values),
    status=st.sampled_from(TenantStatus.values),
    writes=st.booleans(),
)


def test_every_role_has_a_row_and_only_the_owner_has_everything() -> None:
    assert set(ROLES) == set(Role.values)
    assert [role for role in ROLES if Capability.TENANT_TRANSFER in ROLES[role]] == [Role.OWNER]
    assert all(not ROLES[role] & EVERYBODY for role in ROLES)


@given(people)
def test_nobody_outside_the_operators_tenant_touches_the_colony(one: Person) -> None:
    if one.tenant_slug == "acme":
        assert not capabilities_of(one) & COLONY


@given(people)
def test_members_of_a_tenant_that_is_suspended_write_nothing_of_its_work(one: Person) -> None:
    if one.status != TenantStatus.ACTIVE:
        writes = {capability for capability in capabilities_of(one) if capability.endswith(".write")}
        assert writes <= {Capability.BILLING_WRITE}


@given(people, st.sampled_from(KeyScope.values))
def test_nobody_issues_a_key_that_may_more_than_they(one: Person, scope: str) -> None:
    if may_grant_scopes(one, frozenset({scope})) and scope == KeyScope.MANAGE:
        assert one.role in {Role.OWNER, Role.ADMIN}


@given(people)
def test_roles_are_given_by_those_who_manage_members(one: Person) -> None:
    given_roles = roles_given_by(one)
    if Capability.MEMBERS_WRITE not in capabilities_of(one):
        assert not given_roles
    if Role.OWNER in given_roles:
        assert Capability.COLONY_WRITE in capabilities_of(one)


@pytest.mark.parametrize(
    "forbidden", ["keys.write", "members.write", "webhooks.write", "tenant.delete", "gdpr.request"]
)
def test_in_a_tenants_place_nothing_shows_a_secret_or_outlasts_the_visit(forbidden: str) -> None:
    assert Capability(forbidden) not in IMPERSONATED_WRITING
    assert IMPERSONATED <= READS


def test_auditor_looks_and_neither_changes_nor_sees_secrets() -> None:
    assert ROLES[Role.AUDITOR] <= READS
    assert Capability.AUDIT_READ in ROLES[Role.AUDITOR]
    assert not ROLES[Role.AUDITOR] & {Capability.KEYS_READ, Capability.WEBHOOKS_READ, Capability.TASKS_READ}
