"""One export or erasure: how far it is, what came of it, and taking an erasure back."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.exceptions import NotFound

from gdpr.domain.exports import archive_of, tell_download
from gdpr.request_models import DataRequest, RequestKind
from rbee.dashboard.base import see
from rbee.dashboard.privacy import KINDS, PrivacyPage
from rbee.dashboard.privacy_rows import rows_of
from tenants.api.data_requests import EITHER, NOT_THERE
from tenants.api.exports import ARCHIVE_TYPE, export_name
from tenants.api.streaming import file_answer
from tenants.domain.data_requests import find_request, take_erasure_back
from tenants.domain.tenancy import StateRefused


class RequestPage(PrivacyPage):
    def found(self, request_id: UUID, *kinds: RequestKind) -> DataRequest:
        """Raises NotFound, for others' too."""
        found = find_request(self.asker, request_id, *(kinds or KINDS))
        if found is None:
            raise NotFound(NOT_THERE)
        return found


class OneRequest(RequestPage):
    capabilities = {"GET": EITHER}

    def get(self, request: HttpRequest, request_id: UUID) -> HttpResponse:
        found, asker = self.found(request_id), self.asker
        (row,) = rows_of([found], caller=asker.caller, me=asker.actor)
        certificate = found.result.get("certificate")
        shown: dict[str, Any] = {
            "row": row,
            "is_there": archive_of(found) is not None,
            "certificate": certificate and certificate["document"],
        }
        return self.page("privacy_request.html", shown)


class DownloadExport(RequestPage):
    capabilities = {"GET": EITHER}

    def get(self, request: HttpRequest, request_id: UUID) -> HttpResponseBase:
        export = self.found(request_id, RequestKind.EXPORT)
        path = archive_of(export)
        if path is None:
            return see("dashboard_privacy_request", export.id)  # which says why there is none
        tell_download(export, self.asker.actor)
        return file_answer(request, path, export_name(export), ARCHIVE_TYPE)


class DownloadCertificate(RequestPage):
    capabilities = {"GET": EITHER}

    def get(self, request: HttpRequest, request_id: UUID) -> HttpResponse:
        """As `rbee gdpr verify-certificate` reads it."""
        erasure = self.found(request_id, RequestKind.ERASURE)
        certificate = erasure.result.get("certificate")
        if certificate is None:
            return see("dashboard_privacy_request", erasure.id)
        text = json.dumps(certificate, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        answer = HttpResponse(text, content_type="application/json")
        answer.headers["Content-Disposition"] = f'attachment; filename="rbee-certificate-{erasure.id}.json"'
        return answer


class TakeErasureBack(RequestPage):
    capabilities = {"POST": EITHER}
    audits = {"POST": "gdpr.erasure.cancelled"}

    def post(self, request: HttpRequest, request_id: UUID) -> HttpResponse:
        erasure = self.found(request_id, RequestKind.ERASURE)
        try:
            take_erasure_back(erasure, actor=self.asker.actor)
        except StateRefused as refused:
            messages.warning(request, str(refused))
        return see("dashboard_privacy_request", erasure.id)
