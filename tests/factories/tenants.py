"""Tenants, projects and keys for tests, each with names that no other test has. To be called in or outside of scopes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from allauth.account.models import EmailAddress
from django.utils.timezone import now

from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from tenants.domain.consents import add_consent_text, give_consent
from tenants.domain.keys import issue_api_key
from tenants.models import ApiKey, Member, Plan, Project, Tenant, User

PASSWORD = "correct horse battery"
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


def make_member(tenant: Tenant | None = None, role: str = "viewer", user: User | None = None) -> Member:
    """Of somebody who can log in: their address is confirmed, and PASSWORD is theirs."""
    user = user or make_user(password=PASSWORD)
    EmailAddress.objects.get_or_create(user=user, email=user.email, verified=True, primary=True)
    with colony_tx("tests"):
        return Member.objects.create(
            tenant=tenant or make_project().tenant,
            user=user,
            role=role,
            ends_at=now() + timedelta(days=30) if role == "auditor" else None,
        )


def unique(kind: str) -> str:
    return f"{kind}-{uuid4().hex[:12]}"


def agree(
    tenant: Tenant, purpose: str = "data_processing", subject: str = "", text: str = "You may."
) -> None:
    """To a text of the tenant's own. `subject`: pseudonym of an end user."""
    add_consent_text(tenant_id=tenant.id, purpose=purpose, locale="en", text=text, actor=TESTER)
    give_consent(tenant.id, subject=subject, purpose=purpose, actor=TESTER)
