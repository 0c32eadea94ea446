import time

from asgiref.sync import sync_to_async

from billing.domain.quantities import tokens_used_since
from billing.domain.settlement import settle
from gdpr.ids import uuid7
from gdpr.pool import Pool
from hive_agent.protocol import Outcome
from tests.factories.billing import make_settlement
from tests.factories.tenants import make_project

make = sync_to_async(make_settlement)


async def test_tokens_are_those_of_charged_tasks_since_then(pool: Pool) -> None:
    one, other, idle = [await sync_to_async(make_project)() for _ in range(3)]
    now_ns = time.time_ns()
    before = uuid7(now_ns - 2_000_000).hex
    since_ms = now_ns // 1_000_000
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "engine_ms": 999}
    await settle(
        pool,
        [
            await make(one, usage=usage),
            await make(one, usage={"prompt_tokens": 5}, outcome=Outcome.CLIENT_CANCELLED),
            await make(one, usage=usage, outcome=Outcome.WORKER_FAILED),
            await make(one, usage=usage, task_id=before),
            await make(other, usage={"completion_tokens": 1}),
            await make(idle, usage=usage, task_id=uuid7(now_ns - 3_000_000).hex),
        ],
    )
    used = await tokens_used_since(pool, since_ms)
    assert {project: used.get(project.tenant_id.hex) for project in (one, other, idle)} == {
        one: 35,
        other: 1,
        idle: None,
    }
