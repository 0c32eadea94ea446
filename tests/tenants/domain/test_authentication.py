import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from gdpr.pool import Pool, make_pool
from gdpr.scope import colony_tx
from tenants.domain import authentication
from tenants.domain.authentication import AuthenticationDown, CallerCache, Limits, find_caller
from tenants.domain.key_format import key_check
from tenants.domain.keys import revoke_api_key
from tenants.domain.tenancy import create_tenant, make_plans
from tenants.models import Tenant
from tests.factories.tenants import TESTER, agree, make_key, make_plan, make_project, make_tenant, unique

make_key_async = sync_to_async(make_key)
revoke = sync_to_async(revoke_api_key)


async def test_caller_is_who_the_key_says(pool: Pool) -> None:
    def prepare():  # type: ignore[no-untyped-def]
        plan = make_plan(tier="enterprise", requests_per_minute=10, tokens_per_day=500)
        tenant = make_tenant(plan=plan, region="EU", industry="health", tokens_per_day=700)
        agree(tenant)
        return make_key(make_project(tenant), scopes=["inference"])

    key, value = await sync_to_async(prepare)()
    caller = await CallerCache(pool).load(value)

    assert caller is not None
    assert (caller.tenant_id, caller.project_id, caller.key_id) == (
        key.tenant_id.hex,
        key.project_id.hex,
        key.id.hex,
    )
    assert (caller.tier, caller.region, caller.industry, caller.gdpr_consent) == (
        "enterprise",
        "EU",
        "health",
        True,
    )
    assert caller.limits == Limits(requests_per_minute=10, tokens_per_day=700)
    assert caller.scopes == {"inference"}
    assert not caller.is_keyless
    assert await sync_to_async(find_caller)(value) == caller


async def test_brought_along_value_authenticates(pool: Pool) -> None:
    value = unique("customer-key-of-theirs")
    key, _ = await make_key_async(value=value)

    caller = await CallerCache(pool).load(value)

    assert caller is not None
    assert caller.kid == key.kid
    assert await CallerCache(pool).load(value + "x") is None


async def test_hit_needs_no_database_and_ends_in_time(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED_S", 0.5)
    _, value = await make_key_async()
    cache = CallerCache(pool)

    assert cache.get(value) is None
    caller = await cache.load(value)
    assert cache.get(value) is caller
    await asyncio.sleep(0.51)
    assert cache.get(value) is None


@pytest.mark.parametrize("change", ["other secret", "unknown kid", "mistyped", "empty", "live"])
async def test_wrong_key_is_nobody(pool: Pool, change: str) -> None:
    (_, value), (_, other) = await make_key_async(), await make_key_async()
    head, _, _ = value.rpartition("_")
    wrong = {
        "other secret": _with_check("_".join([*head.split("_")[:3], other.split("_")[3]])),
        "unknown kid": _with_check(head.replace(value.split("_")[2], "0" * 12)),
        "mistyped": value[:-1] + ("0" if value[-1] != "0" else "1"),
        "empty": "",
        "live": _with_check(head.replace("_home_", "_live_")),
    }[change]

    assert await CallerCache(pool).load(wrong) is None
    assert await sync_to_async(find_caller)(wrong) is None


async def test_revoked_key_is_refused_as_soon_as_it_is_announced(pool: Pool) -> None:
    key, value = await make_key_async()
    cache = CallerCache(pool)
    await cache.load(value)

    await revoke(key, actor=TESTER)
    assert cache.get(value) is not None
    cache.handle(f"key:{key.kid}")

    assert cache.get(value) is None
    assert await cache.load(value) is None


async def test_announcement_forgets_one_key_or_all(pool: Pool) -> None:
    (first, one), (_, two) = await make_key_async(), await make_key_async()
    cache = CallerCache(pool)
    await cache.load(one)
    await cache.load(two)

    cache.handle("models")
    assert None not in (cache.get(one), cache.get(two))
    cache.handle(f"key:{first.kid}")
    assert (cache.get(one), cache.get(two) is None) == (None, False)
    cache.handle("keys")
    assert cache.get(two) is None


async def test_what_was_read_before_a_revocation_is_not_remembered(pool: Pool) -> None:
    key, value = await make_key_async()
    cache = CallerCache(pool)
    fetch = cache._fetch

    async def fetch_and_revoke(query: str, parameter: str | bytes):  # type: ignore[no-untyped-def]
        row = await fetch(query, parameter)
        if row:
            await revoke(key, actor=TESTER)
            cache.handle(f"key:{key.kid}")
        return row

    cache._fetch = fetch_and_revoke  # type: ignore[method-assign]

    assert await cache.load(value) is None
    assert cache.get(value) is None


async def test_expired_key_is_refused_also_while_remembered(pool: Pool) -> None:
    _, value = await make_key_async(expires_at=timezone.now() + timedelta(seconds=0.4))
    cache = CallerCache(pool)

    assert await cache.load(value) is not None
    await asyncio.sleep(0.45)
    assert cache.get(value) is None
    assert await cache.load(value) is None


async def test_key_of_a_suspended_tenant_is_refused(pool: Pool) -> None:
    key, value = await make_key_async()

    @sync_to_async
    def suspend() -> None:
        with colony_tx("tests"):
            Tenant.objects.filter(id=key.tenant_id).update(status="suspended")

    await suspend()
    assert await CallerCache(pool).load(value) is None


async def test_unknown_keys_are_remembered_for_a_moment_and_within_bounds(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "UNKNOWN_MAX", 10)
    cache = CallerCache(pool)
    for number in range(25):
        assert await cache.load(f"nobody-{number}") is None
    assert 0 < len(cache._unknown) <= 10

    value = unique("late-but-with-enough-in-it")
    assert await cache.load(value) is None
    await make_key_async(value=value)
    assert await cache.load(value) is None
    cache.handle("keys")
    assert await cache.load(value) is not None


async def test_callers_who_come_together_share_one_query(pool: Pool) -> None:
    _, value = await make_key_async()
    cache = CallerCache(pool)
    queries = 0
    fetch = cache._fetch

    async def counted(query: str, parameter: str | bytes):  # type: ignore[no-untyped-def]
        nonlocal queries
        queries += 1
        return await fetch(query, parameter)

    cache._fetch = counted  # type: ignore[method-assign]
    leaver = asyncio.create_task(cache.load(value))
    others = [asyncio.create_task(cache.load(value)) for _ in range(20)]
    await asyncio.sleep(0)
    leaver.cancel()

    callers = await asyncio.gather(*others)
    assert all(caller is not None for caller in callers)
    assert queries == 1


async def test_database_that_is_away_lets_nobody_in() -> None:
    away = make_pool("postgresql://nobody:x@127.0.0.1:1/none", size=1)
    away.timeout = 0.1
    await away.open()
    with pytest.raises(AuthenticationDown):
        await CallerCache(away).load("customer-key-123")
    with pytest.raises(AuthenticationDown):
        await CallerCache(away).home_caller()
    await away.close()


async def test_home_caller_is_the_tenant_home(pool: Pool) -> None:
    @sync_to_async
    def prepare() -> str:
        make_plans(actor=TESTER)
        with colony_tx("tests"):
            home = Tenant.objects.filter(slug="home").first()
        # It stays for later tests, which expect it as a colony's first start makes it.
        home = home or create_tenant(slug="home", plan_slug="home", actor=TESTER)[0]
        return home.id.hex

    tenant_id = await prepare()
    caller = await CallerCache(pool).home_caller()

    assert (caller.tenant_id, caller.is_keyless, caller.key_id) == (tenant_id, True, "")
    assert caller.scopes == {"inference", "manage", "read", "gdpr"}


async def test_secrets_stay_out_of_the_cache(pool: Pool) -> None:
    _, value = await make_key_async()
    cache = CallerCache(pool)
    await cache.load(value)
    await cache.load("nobody-here")

    assert value not in repr(vars(cache))
    assert "nobody-here" not in repr(vars(cache))


def _with_check(body: str) -> str:
    return f"{body}_{key_check(body)}"
