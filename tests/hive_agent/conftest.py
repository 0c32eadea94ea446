import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hive_agent.hive import ROOT, Hive, running_hive
from tests.hive_agent.redis_server import RedisServer
from tests.hive_agent.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """Engine processes that a test starts itself find the packages, installed or not."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def hive(tmp_path: Path, redis_server: RedisServer) -> Iterator[Hive]:
    """A hive of its own, for tests that break something."""
    with running_hive(tmp_path, redis_server) as running:
        yield running


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_hive(tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer) -> Iterator[Hive]:
    with running_hive(tmp_path_factory.mktemp("shared"), shared_redis) as running:
        yield running


@pytest.fixture(scope="session")
def echo(shared_hive: Hive) -> str:
    """Worker that says twenty tokens, one each 5 ms."""
    return shared_hive.place("echo", tokens=20, delay_ms=5)


@pytest.fixture(scope="session")
def llama(shared_hive: Hive, tiny_gguf: Path) -> str:
    return shared_hive.place("llama_cpp", str(tiny_gguf), context_tokens=16384)
