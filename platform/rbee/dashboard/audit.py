"""The tenant's part of the audit log: its newest checkpoint, a search, and what can be taken away. `audit_files` has the
files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse, QueryDict
from rest_framework.exceptions import ValidationError

from gdpr.domain.audit_proofs import LogDamaged, LogUnavailable, PublishedLog
from gdpr.models import AuditEntry
from gdpr.scope import tenant_tx
from rbee.dashboard.actors import named
from rbee.dashboard.base import Page
from tenants.api.audit import AuditFilter, AuditQuery, chosen
from tenants.api.audit_export import FORMATS
from tenants.api.base import page_of
from tenants.rules import Capability

ON_A_PAGE: Final = 50
ASKED: Final = ("event", "actor", "about", "outcome", "request_id", "since", "until")
OUTCOMES: Final = ("ok", "refused", "denied", "failed")


class AuditPage(Page):
    section = "audit"

    def asked(self, checks: type[AuditFilter], **more: str) -> dict[str, Any]:
        """Of the tenant itself, and by nothing that is left empty. Raises ValidationError."""
        checking = checks(data={**given(self.request.GET), **more})
        checking.is_valid(raise_exception=True)
        return dict(checking.validated_data)


class AuditLog(AuditPage):
    capabilities = {"GET": Capability.AUDIT_READ}

    def get(self, request: HttpRequest) -> HttpResponse:
        problems: Mapping[str, Any] = {}
        entries: list[AuditEntry] = []
        cursor = None
        try:
            query = self.asked(AuditQuery, limit=str(ON_A_PAGE), cursor=request.GET.get("cursor", "")[:64])
            with tenant_tx(self.caller.tenant_id):
                entries, cursor = page_of(chosen(query), query)
        except ValidationError as refused:
            problems = refused.detail if isinstance(refused.detail, dict) else {}
        people = named([one.actor for one in entries], caller=self.caller, me=self.arrival.actor)
        filters = given(request.GET)
        shown: dict[str, Any] = {
            **_published(),
            "rows": [(one, people[one.actor], _in_text(one.details)) for one in entries],
            "asked": {name: request.GET.get(name, "") for name in ASKED},
            "problems": {name: " ".join(map(str, found)) for name, found in problems.items()},
            "is_filtered": bool(filters),
            "outcomes": OUTCOMES,
            "formats": list(FORMATS),
            "filters": urlencode(filters),
            "next": cursor and urlencode({**filters, "cursor": cursor}),
        }
        return self.page("audit.html", shown, 400 if problems else 200)


def given(query: QueryDict) -> dict[str, str]:
    """What of a search was filled in."""
    asked = {name: str(query.get(name, "")).strip() for name in ASKED}
    return {name: value for name, value in asked.items() if value}


def _in_text(details: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in details.items()
    }


def _published() -> dict[str, Any]:
    try:
        log = PublishedLog()
    except LogUnavailable as error:
        return {"why_unpublished": str(error)}
    except LogDamaged:
        return {"is_damaged": True}
    return {
        "checkpoint": log.checkpoint,
        "root": log.checkpoint.root.hex(),
        "written_at": log.written_at,
        "keys": [str(key) for key in log.keys],
    }
