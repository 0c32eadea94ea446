import asyncio
import os
import signal
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.transport import resp
from inference.transport.address import Address
from inference.transport.resp import RedisDown, RedisError, RedisPipe
from inference.transport.scripts import RELEASE
from rbee_cli.up.redis import Redis

VALUES = st.one_of(
    st.binary(max_size=70_000), st.sampled_from([b"", b"\r\n", b"$-1\r\n", b"*1\r\n", b"\0" * 65_537])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=40))
def test_replies_meet_their_callers_whatever_the_bytes(redis_url: str, values: list[bytes]) -> None:
    async def echo_all() -> list[bytes]:
        pipe = RedisPipe(redis_url)
        await pipe.connect()
        try:
            return await asyncio.gather(*(pipe.call("ECHO", value) for value in values))
        finally:
            await pipe.close()

    assert asyncio.run(echo_all()) == values


async def test_commands_of_one_turn_leave_together_in_their_order(pipe: RedisPipe) -> None:
    before = _reads(await pipe.call("INFO", "stats"))
    pipe.send("RPUSH", "list", *range(50))
    replies = await asyncio.gather(*(pipe.call("LPOP", "list") for _ in range(51)))
    after = _reads(await pipe.call("INFO", "stats"))
    assert replies == [*(str(n).encode() for n in range(50)), None]
    assert after - before == 2  # the 52 commands, and this INFO


async def test_an_error_reaches_its_caller_alone(pipe: RedisPipe) -> None:
    first, wrong, last = await asyncio.gather(
        pipe.call("SET", "text", "a"),
        pipe.call("INCR", "text"),
        pipe.call("GET", "text"),
        return_exceptions=True,
    )
    assert (first, last) == (b"OK", b"a")
    assert isinstance(wrong, RedisError)
    assert str(wrong).startswith("ERR value is not an integer")


async def test_a_cancelled_caller_does_not_shift_the_replies(pipe: RedisPipe) -> None:
    given_up = pipe.call("ECHO", "1")
    kept = pipe.call("ECHO", "2")
    given_up.cancel()
    assert await kept == b"2"


async def test_run_sends_the_script_again_after_a_flush(pipe: RedisPipe) -> None:
    await pipe.call("SCRIPT", "FLUSH")
    await pipe.call("ZADD", "leases", 1, "task")
    await pipe.run(RELEASE, ["leases"], ["task", "l", 0, 0])
    assert await pipe.call("ZCARD", "leases") == 0


async def test_a_killed_redis_fails_what_waits_and_is_found_again(mortal_redis: Redis) -> None:
    pipe = RedisPipe(mortal_redis.url)
    await pipe.connect()
    try:
        assert mortal_redis.process
        blocked = pipe.call("BLPOP", "nothing", 0)
        await asyncio.sleep(0.05)
        os.kill(mortal_redis.process.pid, signal.SIGKILL)
        with pytest.raises(RedisDown):
            await blocked
        with pytest.raises(RedisDown):
            pipe.call("PING")
        pipe.send("SET", "lost", "1")
        mortal_redis.process.wait(5)
        mortal_redis.respawn()
        mortal_redis.wait_ready()
        assert await _first_answer(pipe) is None
    finally:
        await pipe.close()


async def test_a_redis_that_hangs_is_given_up(mortal_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "WATCH_INTERVAL_S", 0.05)
    monkeypatch.setattr(resp, "ANSWER_TIMEOUT_S", 0.2)
    pipe = RedisPipe(mortal_redis.url)
    await pipe.connect()
    assert mortal_redis.process
    pid = mortal_redis.process.pid
    try:
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(RedisDown, match="no answer"):
            await pipe.call("PING")
    finally:
        os.kill(pid, signal.SIGCONT)
        await pipe.close()


async def test_too_much_that_waits_is_refused(pipe: RedisPipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "MAX_WAITING", 3)
    replies = [pipe.call("PING") for _ in range(3)]
    with pytest.raises(RedisDown, match="too many commands"):
        pipe.call("PING")
    assert await asyncio.gather(*replies) == [b"PONG"] * 3
    monkeypatch.setattr(resp, "MAX_UNSENT_BYTES", 1000)
    large = pipe.call("ECHO", b"x" * 2000)
    with pytest.raises(RedisDown, match="too many bytes"):
        pipe.call("PING")
    assert len(await large) == 2000
    assert await pipe.call("PING") == b"PONG"


async def test_user_password_and_database_are_used(pipe: RedisPipe) -> None:
    await pipe.call("ACL", "SETUSER", "lane", "on", ">p@ss:word", "~*", "+@all")
    address = pipe.address
    other = RedisPipe(f"redis://lane:p%40ss%3Aword@{address.host}:{address.port}/5")
    await other.connect()
    try:
        await other.call("SET", "here", "1")
        assert await other.call("ACL", "WHOAMI") == b"lane"
    finally:
        await other.close()
    await pipe.call("SELECT", 5)
    assert await pipe.call("GET", "here") == b"1"
    await pipe.call("ACL", "DELUSER", "lane")


async def test_a_wrong_password_is_said_at_the_start(pipe: RedisPipe) -> None:
    wrong = RedisPipe(f"redis://default:no@{pipe.address.host}:{pipe.address.port}/0")
    with pytest.raises(RedisDown, match="WRONGPASS"):
        await wrong.connect()


async def test_a_unix_socket_reaches_redis(pipe: RedisPipe, tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(_relay_to(pipe.address), tmp_path / "redis.sock")
    async with server:
        other = RedisPipe(f"unix://default:{pipe.address.password}@{tmp_path}/redis.sock")
        await other.connect()
        assert await other.call("PING") == b"PONG"
        await other.close()


async def test_tls_reaches_redis_with_a_certificate_that_is_trusted(pipe: RedisPipe, tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    make += f" -addext subjectAltName=DNS:localhost -keyout {tmp_path}/key -out {tmp_path}/crt"
    subprocess.run(make.split(), check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server = await asyncio.start_server(_relay_to(pipe.address), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"rediss://default:{pipe.address.password}@localhost:{port}/0"
        trusting = RedisPipe(f"{url}?ssl_ca_certs={tmp_path}/crt")
        await trusting.connect()
        assert await trusting.call("PING") == b"PONG"
        await trusting.close()
        with pytest.raises(RedisDown, match="certificate"):
            await RedisPipe(url).connect()


def test_addresses_are_read_as_other_clients_read_them() -> None:
    plain = Address.parse("redis://u:p%2Fw@host/3")
    assert (plain.host, plain.port, plain.username, plain.password, plain.database, plain.tls) == (
        "host", 6379, "u", "p/w", 3, None,
    )  # fmt: skip
    unix = Address.parse("unix://:pw@/run/redis.sock?db=2")
    assert (unix.path, unix.password, unix.database) == ("/run/redis.sock", "pw", 2)
    secure = Address.parse("rediss://host:7000?ssl_cert_reqs=none")
    assert secure.tls is not None
    assert (secure.port, secure.tls.check_hostname) == (7000, False)
    for nonsense in ("http://host", "redis://host/abc"):
        with pytest.raises(ValueError, match="Redis URL"):
            Address.parse(nonsense)


def _relay_to(address: Address) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection(address.host, address.port)
        await asyncio.gather(copy(reader, redis_writer), copy(redis_reader, writer), return_exceptions=True)

    return relay


def _reads(info: bytes) -> int:
    return int(dict(line.split(b":", 1) for line in info.split() if b":" in line)[b"total_reads_processed"])


async def _first_answer(pipe: RedisPipe) -> object:
    async with asyncio.timeout(5):
        while True:
            try:
                return await pipe.call("GET", "lost")
            except RedisDown:
                await asyncio.sleep(0.01)
