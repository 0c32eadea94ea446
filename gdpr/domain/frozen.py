"""End users whose erasure runs (Art. 18 GDPR): from its grace on until they are gone, nothing of theirs is processed.

FROZEN_OF               their pseudonyms, for a query that has a tenant as `t`: what each queen remembers of a caller
frozen_among            of these end users, those that are frozen at this moment
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from gdpr.domain.requests import FAILED_IN
from gdpr.holding import Whose
from gdpr.pool import Pool, colony_connection
from gdpr.request_models import FROZEN, RequestKind, RequestState

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


async def frozen_among(pool: Pool, whom: Collection[Whom]) -> set[Whom]:
    """Raises what the database raises."""
    wanted = {"tenants": [UUID(tenant) for tenant, _ in whom], "subjects": [subject for _, subject in whom]}
    async with colony_connection(pool) as connection:
        rows = await (await connection.execute(_AMONG, wanted)).fetchall()
    return {(tenant_id.hex, subject) for tenant_id, subject in rows} & set(whom)
