"""Requests as pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from gdpr.domain.audit import Actor
from gdpr.holding import Whose
from gdpr.request_models import OPEN, DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx
from rbee.dashboard.actors import SHOWN, named
from tenants.api.data_requests import shown
from tenants.domain.authentication import Caller
from tenants.models import Tenant

S = RequestState
WORDS: Final[Mapping[str, str]] = {
    S.QUEUED: "waiting",
    S.RUNNING: "in the making",
    S.READY: "ready",
    S.EXPIRED: "expired",
    S.GRACE: "can be taken back",
    S.FROZEN: "frozen",
    S.ERASING: "erasing",
    S.VERIFYING: "verifying",
    S.ERASED: "erased",
    S.CANCELLED: "taken back",
    S.FAILED: "failed",
}


@dataclass(frozen=True)
class Row:
    """`of`: whose data, `by`: who asked."""

    request: DataRequest
    of: str
    by: str

    @property
    def shown(self) -> dict[str, Any]:
        return shown(self.request)

    @property
    def what(self) -> str:
        return {RequestKind.EXPORT: "Export", RequestKind.ERASURE: "Erasure"}[RequestKind(self.request.kind)]

    @property
    def words(self) -> str:
        is_about_to_begin = self.request.state == S.GRACE and not self.is_in_grace
        return WORDS[S.QUEUED if is_about_to_begin else self.request.state]

    @property
    def is_export(self) -> bool:
        return self.request.kind == RequestKind.EXPORT

    @property
    def is_moving(self) -> bool:
        """It changes while somebody looks."""
        return self.request.state in OPEN and not self.is_in_grace

    @property
    def is_in_grace(self) -> bool:
        until = self.request.grace_until
        return self.request.state == S.GRACE and until is not None and until > timezone.now()

    @property
    def rows_done(self) -> int:
        """Of an export."""
        return sum(self.shown["done"].values())

    @property
    def format(self) -> str:
        return {"json": "JSON", "csv": "CSV"}.get(self.request.format, "JSON and CSV")


def rows_of(found: Sequence[DataRequest], *, caller: Caller | None, me: Actor) -> list[Row]:
    people = named([one.requested_by for one in found], caller=caller, me=me)
    slugs = _slugs({one.tenant_id for one in found if one.tenant_id})
    return [Row(one, _of(one, slugs, me), people[one.requested_by]) for one in found]


def _of(request: DataRequest, slugs: Mapping[UUID, str], me: Actor) -> str:
    if request.whose == Whose.PERSON:
        is_own = request.person_id is not None and me == Actor.user(request.person_id)
        return "your account" if is_own else "an account"
    tenant = slugs.get(request.tenant_id, "") if request.tenant_id else ""
    if request.whose == Whose.SUBJECT:
        return f"end user {request.subject[:SHOWN]}… of {tenant}"
    return f"all of {tenant}"


def _slugs(ids: set[UUID]) -> dict[UUID, str]:
    """Of tenants that the requests name, which whoever sees those knows."""
    with colony_tx("tenants of requests that are shown"):
        return dict(Tenant.objects.filter(id__in=ids).values_list("id", "slug"))
