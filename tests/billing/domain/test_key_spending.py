from __future__ import annotations

from uuid import uuid4

from asgiref.sync import sync_to_async

from billing.domain.key_spending import Spent, spent_by_keys
from billing.domain.settlement import settle
from gdpr.pool import Pool
from tests.factories.billing import make_price, make_settlement
from tests.factories.tenants import make_key, make_project

PRICES = {"prompt_tokens": 1_000_000, "completion_tokens": 0}  # a micro-unit for each token of a prompt


async def test_keys_cost_what_was_settled_for_each(pool: Pool) -> None:
    mine, other, foreign, settlements = await sync_to_async(_used)()
    await settle(pool, settlements)

    spent = await sync_to_async(spent_by_keys)(
        mine.tenant_id, [mine.id, other.id, foreign.id, unused := uuid4()]
    )

    assert spent == {
        mine.id: Spent(day=8, month=8),
        other.id: Spent(7, 7),
        foreign.id: Spent(0, 0),  # of another tenant, and asked for under this one
        unused: Spent(0, 0),
    }
    assert await sync_to_async(spent_by_keys)(mine.tenant_id, []) == {}


def _used():  # type: ignore[no-untyped-def]
    project, price = make_project(), make_price(prices=PRICES)
    (mine, _), (other, _), (foreign, _) = make_key(project), make_key(project), make_key()
    tasks = [
        make_settlement(
            key.project, price, key_id=key.id.hex, usage={"prompt_tokens": tokens}, outcome=outcome
        )
        for key, tokens, outcome in (
            (mine, 3, "completed"),
            (mine, 5, "client_cancelled"),
            (mine, 11, "worker_failed"),  # pays nothing
            (other, 7, "completed"),
            (foreign, 13, "completed"),
        )
    ]
    return mine, other, foreign, tasks
