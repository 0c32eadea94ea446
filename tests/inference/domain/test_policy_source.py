import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from gdpr.scope import colony_tx
from inference.domain import policies
from inference.domain.errors import Busy
from inference.domain.policy_source import DEFAULT_FILE, Policies, PolicyUnavailable
from inference.domain.vetting import Vetted
from inference.models import PolicyVersion
from tenants.models import Alert
from tests.factories.tenants import TESTER, make_tenant, unique
from tests.planted_crash import CRASHES, plant

FIRST = "fn route_task(task, workers) { workers.first() }"
SECOND = "fn route_task(task, workers) { workers.least_loaded() }"
BROKEN = "fn route_task(task, workers) {\n  workers.first("


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scheduler.rhai"


@pytest.fixture(autouse=True)
def no_policies(committed_db: None) -> None:
    """Whatever other tests left in force is so no longer."""
    with colony_tx("tests"):
        PolicyVersion.objects.all().update(status="reverted", origin="api")


async def test_default_is_in_force_while_nobody_wrote_a_policy(file: Path) -> None:
    async with watching(file) as source:
        assert source.operator().script.source == DEFAULT_FILE.read_text()


async def test_active_version_of_the_database_is_in_force(file: Path) -> None:
    await activate(FIRST)

    async with watching(file) as source:
        assert source.operator().script.source == FIRST

        await activate(SECOND)
        source.reload_soon()
        await eventually(lambda: source.operator().script.source == SECOND)


async def test_file_goes_before_the_database_while_it_exists(file: Path) -> None:
    await activate(FIRST)
    file.write_text(SECOND)

    async with watching(file) as source:
        assert source.file_error is None
        assert source.operator().script.source == SECOND

        file.unlink()
        await eventually(lambda: source.operator().script.source == FIRST)


async def test_saved_file_is_in_force_within_a_second_and_kept_as_a_version(file: Path) -> None:
    first, second = unlike(FIRST), unlike(SECOND)
    async with watching(file) as source:
        file.write_text(first)
        await eventually(lambda: source.operator().script.source == first, within_s=1.5)

        await sync_to_async(replace)(file, second)
        await eventually(lambda: source.operator().script.source == second, within_s=1.5)
        await eventually_is(file_versions, [first, second])


async def test_file_that_does_not_compile_leaves_the_one_before_in_force(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(FIRST)
    async with watching(file) as source:
        file.write_text(BROKEN)
        await eventually(lambda: source.file_error is not None)

        assert source.operator().script.source == FIRST
        assert "line 2" in str(source.file_error)
        assert [record.levelno for record in caplog.records if "line 2" in record.message] == [logging.ERROR]

        file.write_text(SECOND)
        await eventually(lambda: source.operator().script.source == SECOND)
        assert source.file_error is None


async def test_restart_with_a_broken_file_takes_the_last_good_version_of_the_file(file: Path) -> None:
    good = unlike(FIRST)
    file.write_text(good)
    async with watching(file):
        pass
    await activate(SECOND)
    file.write_text(BROKEN)

    async with watching(file) as source:
        assert source.operator().script.source == good


async def test_broken_file_that_was_never_good_refuses_everything(file: Path) -> None:
    await activate(SECOND)
    file.write_text(BROKEN)

    async with watching(file) as source:
        with pytest.raises(PolicyUnavailable):
            source.operator()

        file.unlink()
        await eventually(lambda: in_force(source) == SECOND)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (1 << 20) + b"y", b"", b"let x = 1;"])
async def test_file_that_is_no_policy_is_an_error_that_is_shown(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    async with watching(file) as source:
        assert str(file) in str(source.file_error)


async def test_policy_of_a_tenant_is_the_tenants_alone(file: Path) -> None:
    tenant, stranger = await sync_to_async(make_tenant)(), await sync_to_async(make_tenant)()
    await activate(FIRST, tenant.id)

    async with watching(file) as source:
        policy = source.of_tenant(tenant.id.hex)
        assert policy is not None
        assert policy.script.source == FIRST
        assert source.of_tenant(stranger.id.hex) is None

        source.reload_soon()
        await asyncio.sleep(0.3)
        assert source.of_tenant(tenant.id.hex) is policy


async def test_file_that_crashes_what_tries_it_is_not_in_force_and_its_alert_is_closed_by_a_good_one(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, monkeypatch)
    good, bad = unlike(FIRST), unlike(CRASHES)
    file.write_text(good)
    async with watching(file) as source:
        replace(file, bad)
        await eventually(lambda: source.file_error is not None)

        assert source.operator().script.source == good
        assert "SIGSEGV while it ran should_admit" in str(source.file_error)
        assert await sync_to_async(state_of_file)() == (bad, True, 1)

        replace(file, good)
        await eventually(lambda: source.file_error is None)
        await eventually_is(state_of_file, (good, False, 0))


async def test_useless_file_is_not_in_force(file: Path) -> None:
    file.write_text(FIRST)
    async with watching(file) as source:
        replace(file, "fn should_admit(task, customer) { 7 }")
        await eventually(lambda: source.file_error is not None)

        assert "breaks whatever it is given" in str(source.file_error)
        assert source.operator().script.source == FIRST


async def test_first_file_refuses_nobody_while_it_is_tried(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trying, go_on = threading.Event(), threading.Event()

    def slow(source: str) -> Vetted:
        trying.set()
        go_on.wait(10)
        return Vetted()

    monkeypatch.setattr("inference.domain.scheduler_file.vet", slow)
    await activate(FIRST)
    async with watching(file) as source:
        file.write_text(unlike(SECOND))
        await asyncio.to_thread(trying.wait, 5)
        await activate(second := unlike(SECOND))
        source.reload_soon()  # a file that takes long delays no activation

        await eventually(lambda: source.operator().script.source == second)
        go_on.set()


async def test_file_that_could_not_be_tried_is_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = iter([Busy("too many"), Vetted()])

    def vet(source: str) -> Vetted:
        answer = next(tries)
        if isinstance(answer, Busy):
            raise answer
        return answer

    monkeypatch.setattr("inference.domain.scheduler_file.vet", vet)
    file.write_text(first := unlike(FIRST))

    async with watching(file) as source:
        await eventually(lambda: in_force(source) == first)


async def test_disabled_version_without_one_before_lets_nobody_in(file: Path) -> None:
    tenant = await sync_to_async(make_tenant)()
    await activate(FIRST, tenant.id)
    await activate(unlike(SECOND))
    async with watching(file) as source:
        assert source.of_tenant(tenant.id.hex)

        for version in await sync_to_async(policies.active_policies)():
            await sync_to_async(policies.disable_version)(version.version_id, "it crashed")
        source.reload_soon()
        await eventually(lambda: in_force(source) is None)

        with pytest.raises(PolicyUnavailable):
            source.of_tenant(tenant.id.hex)


@pytest.mark.usefixtures("redis_url")
async def test_activation_is_in_force_though_the_database_was_away(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(file) as source:
        right = policies.active_policies
        monkeypatch.setattr(policies, "active_policies", lambda: 1 / 0)
        await activate(first := unlike(FIRST))
        source.reload_soon()
        await asyncio.sleep(0.1)
        monkeypatch.setattr(policies, "active_policies", right)

        await eventually(lambda: source.operator().script.source == first, within_s=1.5)


@asynccontextmanager
async def watching(file: Path) -> AsyncIterator[Policies]:
    source = Policies(file)
    await source.load()
    watch = asyncio.create_task(source.watch())
    yield source
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch


async def activate(source: str, tenant_id: object = None) -> None:
    await sync_to_async(policies.save_version)(
        source=source, tenant_id=tenant_id, actor=TESTER, activate=True
    )


def in_force(source: Policies) -> str | None:
    with suppress(PolicyUnavailable):
        return source.operator().script.source
    return None


def unlike(source: str) -> str:
    """The same script as nobody has saved it before."""
    return f"// {unique('script')}\n{source}"


def replace(file: Path, content: str) -> None:
    """As editors save."""
    written = file.with_suffix(".new")
    written.write_text(content)
    written.replace(file)


def file_versions() -> list[str]:
    with colony_tx("tests"):
        versions = PolicyVersion.objects.filter(tenant=None, origin="file").order_by("number")
        return [version.source for version in versions]


def state_of_file() -> tuple[str, bool, int]:
    """The last version of the file, whether it is disabled, and how many alerts there are of the file."""
    with colony_tx("tests"):
        version = PolicyVersion.objects.filter(tenant=None, origin="file").latest("number")
        alerts = Alert.objects.filter(tenant=None, kind="policy_file", closed_at=None).count()
    return version.source, version.disabled_at is not None, alerts


async def eventually(probe: Callable[[], bool], within_s: float = 3.0) -> None:
    async with asyncio.timeout(within_s):
        while not probe():
            await asyncio.sleep(0.02)


async def eventually_is(query: Callable[[], object], expected: object, within_s: float = 3.0) -> None:
    """Of the database, which hears of a file after it is in force."""
    async with asyncio.timeout(within_s):
        while await sync_to_async(query)() != expected:
            await asyncio.sleep(0.02)
