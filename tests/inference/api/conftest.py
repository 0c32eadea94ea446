"""A queen behind a real server, and hives that speak the protocol.

home, business      a colony in that mode with a model `m` on a hive; a module uses one of the two, its tests share it
"""

from __future__ import annotations

import base64
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import uvicorn
from channels.routing import ProtocolTypeRouter
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.asgi import get_asgi_application
from pytest_django import DjangoDbBlocker

from gdpr.scope import colony_tx
from hive_agent import protocol
from inference.api.app import Lane
from inference.api.queen import Queen
from inference.domain.bootstrap import prepare_colony
from inference.domain.hives import remove_hive
from inference.domain.policy_source import DEFAULT_FILE
from inference.models import Hive, Model, PolicyVersion
from rbee.assets import Assets
from rbee.front import Front, Lifespan, refuse_websocket
from tests.conftest import close_connections
from tests.factories.inference import make_hive, make_model, make_token
from tests.factories.tenants import TESTER, make_key, make_plan, make_project, make_tenant
from tests.inference.api.hive import SmallHive
from tests.system import free_port


class Server:
    """One queen process, in a thread."""

    def __init__(self, port: int) -> None:
        lane = Lane()
        self.lane = lane
        application = ProtocolTypeRouter(
            {
                "http": Front(lane, get_asgi_application(), Assets()),
                "websocket": refuse_websocket,
                "lifespan": Lifespan(lane),
            }
        )
        config = uvicorn.Config(
            application,
            port=port,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, daemon=True)

    def start(self) -> None:
        self.thread.start()
        while not self.uvicorn.started:
            assert self.thread.is_alive(), "the queen did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(15)
        assert not self.thread.is_alive()


@dataclass
class Colony:
    """`call` is an HTTP client of the queen that bears `key`, if there is one."""

    port: int
    redis_url: str
    scheduler_file: Path
    server: Server
    key: str | None = None
    hives: list[SmallHive] = field(default_factory=list)
    credentials: dict[str, str] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def queen(self) -> Queen:
        """To look at, not to touch: it lives on another thread."""
        queen = self.server.lane.queen
        assert queen is not None
        return queen

    @property
    def hive(self) -> SmallHive:
        return self.hives[0]

    def call(self, key: str | None = None, **headers: str) -> httpx.Client:
        key = key or self.key
        named = {"authorization": f"Bearer {key}"} if key else {}
        client = httpx.Client(base_url=self.url, headers=named | headers, timeout=20)
        self.clients.append(client)
        return client

    def ask(self, content: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
        return self.call(key).post("/v1/chat/completions", json=chat(content, **fields))

    def key_of(self, **tenant: Any) -> str:
        """A key of a tenant of its own; `tier` and limits go to its plan."""
        tier = tenant.pop("tier", "pro")
        limits = {name: tenant.pop(name) for name in list(tenant) if name in LIMITS}
        project = make_project(make_tenant(plan=make_plan(tier=tier, **limits), **tenant))
        return make_key(project)[1]

    def add_hive(
        self, *models: str, region: str = "EU", labels: dict[str, Any] | None = None, **worker: Any
    ) -> SmallHive:
        private = Ed25519PrivateKey.generate()
        public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
        row, answer = make_hive(public_key=public, token=make_token(region=region, labels=labels))
        hive = SmallHive(self.redis_url, row, private, models=list(models), **worker).start()
        self.hives.append(hive)
        self.credentials[row.id.hex] = answer.credential
        self.wait_for(lambda: any(w.hive_id == row.id.hex for w in self.queen.colony.workers))
        return hive

    def add_model(self, name: str, **fields: Any) -> None:
        make_model(name=name, **fields)
        self.wait_for(lambda: self.queen.offer.find(name))

    def policy(self, source: str) -> None:
        self.scheduler_file.write_text(source)
        self.wait_for(lambda: self.queen.policies.operator().script.source == source)

    def send_receipts(
        self, hive: SmallHive, *receipts: protocol.SignedReceipt, **fields: Any
    ) -> httpx.Response:
        batch = protocol.ReceiptBatch(**{"version": protocol.VERSION, "receipts": list(receipts), **fields})
        headers = {"authorization": f"Bearer {self.credentials[hive.row.id.hex]}"}
        return httpx.post(
            f"{self.url}/hive/v1/receipts", content=protocol.encode(batch), headers=headers, timeout=20
        )

    def drop_hive(self, hive: SmallHive) -> None:
        hive.stop()
        self.hives.remove(hive)
        remove_hive(hive.row, actor=TESTER)
        self.wait_for(lambda: all(w.hive_id != hive.row.id.hex for w in self.queen.colony.workers))

    def tidy(self) -> None:
        """For the next test: the first hive alone, idle, and no policy."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        for hive in self.hives[1:]:
            self.drop_hive(hive)
        self.wait_for(lambda: not self.hive.running)
        self.hive.bodies.clear()
        self.hive.stopped.clear()
        if self.scheduler_file.exists():
            self.scheduler_file.unlink()
            self.wait_for(lambda: self.queen.policies.operator().script.source == DEFAULT_FILE.read_text())

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for hive in self.hives:
            hive.stop()
        self.server.stop()

    @staticmethod
    def wait_for(probe: Callable[[], Any], timeout_s: float = 30) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := probe():
                return found
            time.sleep(0.02)
        raise AssertionError("it did not happen in time")


LIMITS = ("requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent_tasks")


def chat(content: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


@pytest.fixture(scope="module")
def _database(
    _emptied: set[str], django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    _emptied.add("dirty")
    with django_db_blocker.unblock():
        yield
        close_connections()


@pytest.fixture(scope="module")
def _home(_database: None, _redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Colony]:
    with _running("home", _redis_server, tmp_path_factory.mktemp("home")) as colony:
        yield colony


@pytest.fixture(scope="module")
def _business(
    _database: None, _redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Colony]:
    with _running("business", _redis_server, tmp_path_factory.mktemp("business")) as colony:
        yield colony


@pytest.fixture
def home(_home: Colony) -> Iterator[Colony]:
    yield _home
    _home.tidy()


@pytest.fixture
def business(_business: Colony) -> Iterator[Colony]:
    _business.key = _business.key_of()
    yield _business
    _business.tidy()


@contextmanager
def _running(mode: str, redis_url: str, folder: Path) -> Iterator[Colony]:
    """Only one at a time: the settings and the rows are those of one colony."""
    before = settings.RBEE
    port = free_port()
    settings.RBEE = dataclasses.replace(
        before, mode=mode, port=port, scheduler_file=folder / "scheduler.rhai"
    )
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    _clear()
    prepare_colony()
    make_model(name="m")
    colony = Colony(port, redis_url, settings.RBEE.scheduler_file, Server(port))
    colony.server.start()
    try:
        colony.add_hive("m")
        yield colony
    finally:
        colony.close()
        settings.RBEE = before


def _clear() -> None:
    """Rows that other tests committed and that a colony would act upon."""
    Hive.objects.filter(removed_at=None).update(removed_at="2020-01-01T00:00:00Z")
    Model.objects.filter(removed_at=None).update(removed_at="2020-01-01T00:00:00Z")
    with colony_tx("tests"):
        PolicyVersion.objects.all().update(status="retired")
