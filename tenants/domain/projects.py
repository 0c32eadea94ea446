from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.keys import revoke_api_key
from tenants.domain.tenancy import StateRefused, TenantTaken
from tenants.enums import KeyScope
from tenants.models import ApiKey, Project, Tenant


def create_project(tenant_id: UUID, *, slug: str, name: str, actor: Actor) -> Project:
    """Raises TenantTaken, also for the slug of one that is archived: usage names it for ever."""
    try:
        with tenant_tx(tenant_id):
            project = Project.objects.create(tenant_id=tenant_id, slug=slug, name=name or slug)
            record("project.created", actor=actor, object_ref=_ref(project))
    except IntegrityError:
        raise TenantTaken("slug", f"There is a project {slug} already.") from None
    return project


def rename_project(project: Project, *, name: str, actor: Actor) -> Project:
    with tenant_tx(project.tenant_id):
        project = Project.objects.select_for_update().get(id=project.id)
        if project.name != name:
            project.name = name
            project.save(update_fields=["name"])
            record("project.renamed", actor=actor, object_ref=_ref(project))
    return project


def archive_project(project: Project, *, actor: Actor) -> Project:
    """Revokes its keys, but for those that only administer: they are the tenant's, and move to another project. Archived
    is archived. Raises StateRefused for the last one: keys belong to a project."""
    with tenant_tx(project.tenant_id):
        Tenant.objects.select_for_update().get(id=project.tenant_id)  # one at a time
        project = Project.objects.get(id=project.id)
        if project.archived_at is not None:
            return project
        next_one = Project.objects.filter(archived_at=None).exclude(id=project.id).order_by("id").first()
        if next_one is None:
            raise StateRefused("project", "A tenant keeps at least one project; make another one first.")
        for key in ApiKey.objects.filter(project=project, revoked_at=None):
            if KeyScope.INFERENCE in key.scopes:
                revoke_api_key(key, actor=actor)
            else:
                _move_key(key, next_one, actor=actor)
        project.archived_at = timezone.now()
        project.save(update_fields=["archived_at"])
        record("project.archived", actor=actor, object_ref=_ref(project))
    return project


def _move_key(key: ApiKey, project: Project, *, actor: Actor) -> None:
    key.project = project
    key.save(update_fields=["project"])
    record("key.moved", actor=actor, object_ref=f"key:{key.kid}", details={"project": project.id.hex})
    announce_after_commit(f"key:{key.kid}")


def _ref(project: Project) -> str:
    return f"project:{project.id.hex}"
