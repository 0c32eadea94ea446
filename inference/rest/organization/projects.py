from __future__ import annotations

import secrets
from typing import Any

from django.utils.text import slugify
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.rest.organization.base import (
    PROJECT,
    ListQuery,
    OrganizationView,
    Unsupported,
    page,
    seconds,
    shown_id,
)
from inference.rest.organization.shapes import ProjectShape
from tenants.domain import projects
from tenants.domain.tenancy import TenantTaken
from tenants.models import Project
from tenants.rules import Capability

SLUG_MAX = 50
SUFFIX_BYTES = 4


class ProjectQuery(ListQuery):
    include_archived = serializers.BooleanField(default=False)


class OrganizationProjectChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False)
    external_key_id = Unsupported("Keys of others encrypt nothing here.")
    geography = Unsupported("Regions are a tenant's and a plan's: /api/v1/tenants.")


class NewOrganizationProject(OrganizationProjectChange):
    name = serializers.CharField(max_length=200)
    residency = Unsupported("Regions are a tenant's and a plan's: /api/v1/tenants.")


class Projects(OrganizationView):
    capabilities = {"GET": Capability.PROJECTS_READ, "POST": Capability.PROJECTS_WRITE}
    audits = {"POST": "project.created"}

    @extend_schema(
        operation_id="list_organization_projects",
        parameters=[ProjectQuery],
        responses=ProjectShape(many=True),
    )
    def get(self, request: Request) -> Response:
        query = self.read_query(ProjectQuery)
        with self.scope():
            rows = Project.objects.all()
            if not query["include_archived"]:
                rows = rows.filter(archived_at=None)
            return page(rows, query, PROJECT, lambda found: [shown_project(row) for row in found])

    @extend_schema(
        operation_id="create_organization_project",
        request=NewOrganizationProject,
        responses={200: ProjectShape},
    )
    def post(self, request: Request) -> Response:
        """Its short name, which the rest of rbee shows, is made from its name."""
        name = self.read_body(NewOrganizationProject)["name"]
        slug = slugify(name)[:SLUG_MAX].strip("-_").replace("_", "-") or "project"
        try:
            made = projects.create_project(self.organization.id, slug=slug, name=name, actor=self.actor)
        except TenantTaken:  # names need not be unique
            slug = f"{slug[: SLUG_MAX - 2 * SUFFIX_BYTES - 1]}-{secrets.token_hex(SUFFIX_BYTES)}"
            made = projects.create_project(self.organization.id, slug=slug, name=name, actor=self.actor)
        return Response(shown_project(made))


class OneProject(OrganizationView):
    capabilities = {"GET": Capability.PROJECTS_READ, "POST": Capability.PROJECTS_WRITE}
    audits = {"POST": "project.renamed"}

    @extend_schema(operation_id="retrieve_organization_project", responses=ProjectShape)
    def get(self, request: Request, project: str) -> Response:
        return Response(shown_project(self.project(project)))

    @extend_schema(
        operation_id="modify_organization_project",
        request=OrganizationProjectChange,
        responses={200: ProjectShape},
    )
    def post(self, request: Request, project: str) -> Response:
        found = self.project(project)
        body = self.read_body(OrganizationProjectChange)
        if "name" in body:
            found = projects.rename_project(found, name=body["name"], actor=self.actor)
        return Response(shown_project(found))


class ArchiveProject(OrganizationView):
    capabilities = {"POST": Capability.PROJECTS_WRITE}
    audits = {"POST": "project.archived"}

    @extend_schema(operation_id="archive_organization_project", request=None, responses={200: ProjectShape})
    def post(self, request: Request, project: str) -> Response:
        """Revokes its keys. Archived is archived; an organization keeps at least one project."""
        return Response(shown_project(projects.archive_project(self.project(project), actor=self.actor)))


def shown_project(project: Project) -> dict[str, Any]:
    return {
        "id": shown_id(PROJECT, project.id),
        "object": "organization.project",
        "name": project.name,
        "created_at": seconds(project.created_at),
        "archived_at": seconds(project.archived_at),
        "status": "active" if project.archived_at is None else "archived",
    }
