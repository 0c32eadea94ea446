from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, list_response, page_of
from tenants.api.etags import tagged, unchanged
from tenants.api.fields import Slug
from tenants.api.tenancy import TenantQuery, find_tenant, scope_of, tenant_of
from tenants.domain import projects
from tenants.models import Project
from tenants.rules import Capability


class ProjectOut(serializers.ModelSerializer[Project]):
    object = serializers.CharField(default="project", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")

    class Meta:
        model = Project
        fields = ["id", "object", "slug", "name", "tenant", "created_at", "archived_at"]


class ProjectQuery(TenantQuery):
    include_archived = serializers.BooleanField(default=False)


class OneProjectQuery(serializers.Serializer[Any]):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator; else your own")


class NewProject(OneProjectQuery):
    slug = Slug()
    name = serializers.CharField(max_length=200, default="", allow_blank=True)


class ProjectChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)


class ProjectView(ManagementView):
    def shown(self, project: Project) -> dict[str, Any]:
        with scope_of(self.caller, "a project"):
            return dict(ProjectOut(Project.objects.select_related("tenant").get(id=project.id)).data)


class Projects(ProjectView):
    capabilities = {"GET": Capability.PROJECTS_READ, "POST": Capability.PROJECTS_WRITE}
    audits = {"POST": "project.created"}

    @extend_schema(operation_id="list_projects", parameters=[ProjectQuery], responses=ProjectOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(ProjectQuery)
        with scope_of(self.caller, "list of projects"):
            rows = Project.objects.select_related("tenant")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            if not query["include_archived"]:
                rows = rows.filter(archived_at=None)
            found, cursor = page_of(rows, query)
            return list_response([dict(ProjectOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_project", request=NewProject, responses={201: ProjectOut})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewProject)
        tenant = tenant_of(self.caller, body["tenant"])
        made = projects.create_project(tenant.id, slug=body["slug"], name=body["name"], actor=self.actor)
        return Response(self.shown(made), status.HTTP_201_CREATED)


class OneProject(ProjectView):
    """By its id, or by its slug in the caller's tenant or in that of `?tenant=`."""

    has_etag = True
    capabilities = {
        "GET": Capability.PROJECTS_READ,
        "PATCH": Capability.PROJECTS_WRITE,
        "DELETE": Capability.PROJECTS_WRITE,
    }
    audits = {"PATCH": "project.renamed", "DELETE": "project.archived"}

    @extend_schema(operation_id="get_project", parameters=[OneProjectQuery], responses=ProjectOut)
    def get(self, request: Request, project: str) -> Response:
        return tagged(self.shown(self.found(project)))

    @extend_schema(
        operation_id="rename_project",
        parameters=[OneProjectQuery],
        request=ProjectChange,
        responses=ProjectOut,
    )
    def patch(self, request: Request, project: str) -> Response:
        found = self.found(project)
        body = self.read_body(ProjectChange)
        with unchanged(request, scope_of(self.caller, "a project, if unchanged"), found, self.shown):
            projects.rename_project(found, name=body["name"], actor=self.actor)
        return tagged(self.shown(found))

    @extend_schema(operation_id="archive_project", parameters=[OneProjectQuery], responses={200: ProjectOut})
    def delete(self, request: Request, project: str) -> Response:
        """Revokes its keys; what was used under it stays on record."""
        return Response(self.shown(projects.archive_project(self.found(project), actor=self.actor)))

    def found(self, id_or_slug: str) -> Project:
        tenant = tenant_of(self.caller, self.read_query(OneProjectQuery)["tenant"])
        with scope_of(self.caller, "a project"):
            wanted = Q(slug=id_or_slug, tenant=tenant)
            try:
                wanted |= Q(id=UUID(id_or_slug))
            except ValueError:
                pass
            project = Project.objects.filter(wanted).first()
        if project is None:
            raise NotFound("There is no such project.")
        return project
