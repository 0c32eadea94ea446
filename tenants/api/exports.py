from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.domain.exports import archive_of, begin_export, tell_download
from gdpr.domain.files import remove_folder
from gdpr.domain.imports import BadArchive, begin_import, new_import_file
from gdpr.domain.requests import RequestRefused
from gdpr.request_models import DataRequest, RequestKind
from tenants.api.data_requests import EITHER, DataRequestView, RequestOut, WhomQuery, shown, status_url
from tenants.api.streaming import file_answer
from tenants.domain.tenancy import StateRefused
from tenants.rules import Capability

CHUNK = 256 * 1024
ARCHIVE_TYPE = "application/zip"


class ExportQuery(WhomQuery):
    format = serializers.ChoiceField(
        ["json", "csv"], default="", allow_blank=True, help_text="Left out: both"
    )


class Accepted(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status_url = serializers.CharField()


class ImportQuery(serializers.Serializer[Any]):
    key = serializers.CharField(
        default="", allow_blank=True, max_length=64,
        help_text="The public key of the colony that made it (`GET /gdpr/signing-key` there); left out: whichever signed",
    )  # fmt: skip


class Exports(DataRequestView):
    capabilities = {"GET": EITHER, "POST": EITHER}
    audits = {"POST": "gdpr.export.requested"}

    @extend_schema(operation_id="ask_for_export", parameters=[ExportQuery], responses={202: Accepted})
    def get(self, request: Request) -> Response:
        """All that is held of an account, a tenant, or an end user of a tenant (Art. 15 and 20). One that is being made, or
        is ready, is the answer."""
        return self._begin(self.read_query(ExportQuery), reuses=True)

    @extend_schema(operation_id="make_export", request=ExportQuery, responses={202: Accepted})
    def post(self, request: Request) -> Response:
        """As GET, and another one although one is ready."""
        body = self.read(ExportQuery, {**request.query_params.dict(), **dict(request.data)})
        return self._begin(body, reuses=False)

    def _begin(self, asked: dict[str, Any], *, reuses: bool) -> Response:
        export = begin_export(self.identity(asked), format=asked["format"], actor=self.actor, reuses=reuses)
        return Response({"id": str(export.id), "status_url": status_url(export)}, status.HTTP_202_ACCEPTED)


class OneExport(DataRequestView):
    capabilities = {"GET": EITHER}

    @extend_schema(operation_id="get_export", responses=RequestOut)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(shown(self.find(request_id, RequestKind.EXPORT)))


class ExportContent(DataRequestView):
    capabilities = {"GET": EITHER}

    @extend_schema(operation_id="download_export", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, request_id: UUID) -> HttpResponseBase:
        """A zip: JSON with its schema, CSV, files, and a signed manifest. It is there until `expires_at`."""
        export = self.find(request_id, RequestKind.EXPORT)
        path = archive_of(export)
        if path is None:
            if export.ended_at is None:
                raise StateRefused("id", "The export is not ready yet.")
            raise NotFound("The export has expired or was never made: ask for another.")
        tell_download(export, self.actor)
        return file_answer(request._request, path, export_name(export), ARCHIVE_TYPE)


class AnyBytes(BaseParser):
    """The view reads the body itself, a piece at a time."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


class Imports(DataRequestView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "gdpr.import.requested"}
    parser_classes = [AnyBytes]

    @extend_schema(
        operation_id="import_tenant",
        parameters=[ImportQuery],
        request={"application/zip": OpenApiTypes.BINARY},
        responses={202: Accepted},
    )
    def post(self, request: Request) -> Response:
        """Reads the export of a tenant of another colony into this one. Its body is the archive."""
        key = self.read_query(ImportQuery)["key"]
        request_id, path = new_import_file()
        try:
            with path.open("wb") as file:
                while chunk := request._request.read(CHUNK):
                    file.write(chunk)
            made = begin_import(request_id, key=key, actor=self.actor)
        except BadArchive as error:
            raise ValidationError({"file": [f"The archive is not read: {error}."]}) from None
        except RequestRefused as error:
            raise StateRefused("file", str(error)) from None
        except BaseException:
            remove_folder(request_id)
            raise
        return Response({"id": str(made.id), "status_url": status_url(made)}, status.HTTP_202_ACCEPTED)


class OneImport(DataRequestView):
    capabilities = {"GET": Capability.COLONY_WRITE}

    @extend_schema(operation_id="get_import", responses=RequestOut)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(shown(self.find(request_id, RequestKind.IMPORT)))


def export_name(export: DataRequest) -> str:
    return f"rbee-export-{export.id}.zip"
