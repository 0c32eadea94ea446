import os
import signal
from pathlib import Path

import psutil
import pytest
import redis

from rbee_cli.up.redis import Redis, bind_addresses

SETTINGS = {
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync": "yes",
    "slowlog-log-slower-than": "-1",
    "crash-log-enabled": "no",
}


def test_redis_keeps_nothing_on_disk(data_dir: Path) -> None:
    server = Redis(data_dir)
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            settings = {name: client.config_get(name)[name] for name in SETTINGS}
            client.set("prompt", "secret")
    finally:
        server.stop()
    assert settings == SETTINGS
    assert [path.name for path in server.folders.redis.iterdir()] == ["redis.conf"]


def test_redis_wants_its_password_and_shows_it_to_nobody(data_dir: Path) -> None:
    server = Redis(data_dir)
    server.start()
    try:
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=server.port).ping()
        assert server.process
        assert server.password not in " ".join(psutil.Process(server.process.pid).cmdline())
        assert (server.folders.redis / "redis.conf").stat().st_mode & 0o777 == 0o600
    finally:
        server.stop()


def test_redis_comes_back_on_the_same_port(data_dir: Path) -> None:
    server = Redis(data_dir)
    server.start()
    assert server.process
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(5)
    again = Redis(data_dir)
    again.start()
    again.stop()
    assert again.url == server.url


def test_bind_addresses_always_hold_loopback() -> None:
    assert bind_addresses("127.0.0.1") == "127.0.0.1"
    assert bind_addresses("0.0.0.0") == "0.0.0.0 -::"
    assert bind_addresses("192.0.2.7") == "127.0.0.1 192.0.2.7"
