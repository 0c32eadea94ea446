"""End users whose erasure runs (Art. 18 GDPR): from its grace on until they are gone, nothing of theirs is processed.

FROZEN_OF               their pseudonyms, for a query that has a tenant as `t`: what each queen remembers of a caller
frozen_among            of these end users, those that are frozen at this moment
erased_since            who was frozen or erased after something of theirs was admitted
shut_out_writers        in the transaction that freezes, or that ends what is kept: waits for whoever writes
shut_out_freezes        in a transaction that writes something of theirs: what it finds allowed stays so until it ends
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Q

from gdpr.domain.requests import FAILED_IN
from gdpr.holding import Whose
from gdpr.pool import Pool, colony_connection
from gdpr.request_models import FROZEN, DataRequest, RequestKind, RequestState

_STATES: Final = ", ".join(f"'{state.value}'" for state in FROZEN)
_IS_FROZEN: Final = f"""
    r.kind = '{RequestKind.ERASURE.value}' AND r.whose = '{Whose.SUBJECT.value}'
    AND (r.state IN ({_STATES})
         OR r.state = '{RequestState.FAILED.value}' AND r.progress ->> '{FAILED_IN}' IN ({_STATES}))
"""
FROZEN_OF: Final = f"SELECT r.subject FROM gdpr_datarequest r WHERE r.tenant_id = t.id AND {_IS_FROZEN}"  # noqa: S608
_AMONG: Final = f"""
    SELECT r.tenant_id, r.subject FROM gdpr_datarequest r
    WHERE r.tenant_id = ANY(%(tenants)s) AND r.subject = ANY(%(subjects)s) AND {_IS_FROZEN}
"""  # noqa: S608 -- constants

Whom = tuple[str, str]  # tenant in hex, pseudonym


def erased_since(subjects: Collection[str], since: datetime) -> set[str]:
    """In the scope of their tenant."""
    rows = DataRequest.objects.filter(
        kind=RequestKind.ERASURE, whose=Whose.SUBJECT.value, subject__in=list(subjects)
    )
    frozen = Q(state__in=FROZEN) | Q(
        state=RequestState.FAILED, **{f"progress__{FAILED_IN}__in": list(FROZEN)}
    )
    erased = Q(state=RequestState.ERASED, ended_at__gte=since)
    return set(rows.filter(frozen | erased).values_list("subject", flat=True))


def shut_out_writers(tenant_id: UUID) -> None:
    """Before any row is locked: so do those who write."""
    _lock("pg_advisory_xact_lock", tenant_id)


def shut_out_freezes(tenant_id: UUID) -> None:
    _lock("pg_advisory_xact_lock_shared", tenant_id)


def _lock(function: str, tenant_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [f"content of {tenant_id.hex}"])


async def frozen_among(pool: Pool, whom: Collection[Whom]) -> set[Whom]:
    """Raises what the database raises."""
    wanted = {"tenants": [UUID(tenant) for tenant, _ in whom], "subjects": [subject for _, subject in whom]}
    async with colony_connection(pool) as connection:
        rows = await (await connection.execute(_AMONG, wanted)).fetchall()
    return {(tenant_id.hex, subject) for tenant_id, subject in rows} & set(whom)
