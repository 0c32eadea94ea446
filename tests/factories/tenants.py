"""Tenants, projects and keys for tests, each with names that no other test has. To be called in or outside of scopes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from tenants.domain.keys import issue_api_key
from tenants.models import ApiKey, Plan, Project, Tenant, User

TESTER = Actor.system("tests")


def make_plan(**fields: Any) -> Plan:
    name = unique("plan")
    return Plan.objects.create(**{"slug": name, "name": name, "tier": "pro", **fields})


def make_tenant(**fields: Any) -> Tenant:
    name = unique("tenant")
    fields.setdefault("plan", None)
    fields["plan"] = fields["plan"] or make_plan()
    with colony_tx("tests"):
        return Tenant.objects.create(**{"slug": name, "name": name, **fields})


def make_project(tenant: Tenant | None = None, **fields: Any) -> Project:
    tenant = tenant or make_tenant()
    name = unique("project")
    with colony_tx("tests"):
        return Project.objects.create(**{"tenant": tenant, "slug": name, "name": name, **fields})


def make_key(project: Project | None = None, **fields: Any) -> tuple[ApiKey, str]:
    fields = {"name": "a key", "scopes": ["inference"], "actor": TESTER, **fields}
    return issue_api_key(project or make_project(), **fields)


def make_user(**fields: Any) -> User:
    return User.objects.create_user(**{"email": f"{unique('user')}@example.org", **fields})


def unique(kind: str) -> str:
    return f"{kind}-{uuid4().hex[:12]}"
