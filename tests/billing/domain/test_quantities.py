import time

from asgiref.sync import sync_to_async

from billing.domain.prices import version_of
from billing.domain.pricing import amount_micros
from billing.domain.quantities import Wanted, quantities_of, quantities_used, tokens_used_since
from billing.domain.settlement import settle
from gdpr.ids import uuid7
from gdpr.pool import Pool
from hive_agent.protocol import Outcome
from tests.factories.billing import make_price, make_settlement
from tests.factories.tenants import make_key, make_project

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


async def test_quantities_of_each_owner_since_then_without_what_is_counted_elsewhere(pool: Pool) -> None:
    project = await sync_to_async(make_project)()
    key, _ = await sync_to_async(make_key)(project)
    now_ns = time.time_ns()
    early, since_ms, counted = uuid7(now_ns - 2_000_000_000).hex, now_ns // 1_000_000 - 1000, uuid7().hex
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "engine_ms": 999, "images": 2}
    await settle(
        pool,
        [
            await make(project, usage=usage, key_id=key.id.hex, subject="s"),
            await make(project, usage=usage),
            await make(project, usage=usage, outcome=Outcome.WORKER_FAILED),
            await make(project, usage=usage, task_id=counted),
            await make(project, usage=usage, task_id=early, key_id=key.id.hex),
            await make(usage=usage),
        ],
    )
    tenant = project.tenant_id.hex
    wanted = [
        Wanted("tenant", tenant, "tokens", since_ms),
        Wanted("project", project.id.hex, "requests", since_ms),
        Wanted("key", key.id.hex, "gpu_seconds", since_ms),
        Wanted("key", key.id.hex, "images", since_ms - 3000),
        Wanted("subject", "s", "requests", since_ms),
        Wanted("subject", "nobody", "requests", since_ms),
        Wanted("tenant", tenant, "spend_micros", since_ms),
        Wanted("tenant", tenant, "video_seconds", since_ms),
    ]
    used = await quantities_used(pool, tenant, wanted, without=[counted])
    cost = amount_micros(version_of(await sync_to_async(make_price)()), usage, Outcome.COMPLETED)
    assert used == [60, 2, 999, 4, 1, 0, 2 * cost, 0]


def test_the_books_and_the_counters_take_the_same_for_a_task() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "engine_ms": 7, "images": 1, "cached_tokens": 2}
    assert quantities_of(usage) == {
        "requests": 1, "tokens": 5, "gpu_seconds": 7, "images": 1, "audio_seconds": 0, "video_seconds": 0,
    }  # fmt: skip
