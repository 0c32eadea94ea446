from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bench.load import Load
from bench.upstream import FIRST, STREAM_HEAD, STREAM_TOKENS, TOKEN, WHOLE, WHOLE_TOKENS, serve_connection

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[int]]]:
    servers = []

    async def start(handler: Handler) -> int:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()


def job(port: int, **shape: object) -> dict[str, object]:
    stream = bool(shape.get("stream"))
    return {"host": "127.0.0.1", "port": port, "path": "/v1/chat/completions", "headers": {}, "model": "m",
            "stream": stream, "tokens": STREAM_TOKENS if stream else WHOLE_TOKENS, **shape}  # fmt: skip


async def test_whole_answers_are_counted(serve) -> None:
    done = await Load(job(await serve(serve_connection), concurrency=2, seconds=0.2)).run()

    assert done["errors"] == 0
    assert done["requests"] == done["chunks"] > 2
    assert 0 < done["whole_p50_ms"] <= done["whole_p99_ms"]


async def test_every_token_of_a_stream_is_counted_at_its_pace(serve) -> None:
    port = await serve(serve_connection)
    done = await Load(job(port, stream=True, rate=4, seconds=1)).run()

    assert (done["requests"], done["chunks"], done["errors"]) == (4, 4 * STREAM_TOKENS, 0)
    assert done["first_p50_ms"] >= 5
    assert done["whole_p50_ms"] >= 500


async def test_held_streams_are_said_to_be_open_once(serve, capsys) -> None:
    port = await serve(serve_connection)
    done = await Load(job(port, stream=True, concurrency=3, hold=True)).run()

    assert (done["requests"], done["errors"]) == (3, 0)
    assert capsys.readouterr().out == "open\n"


@pytest.mark.parametrize(
    ("answer", "stream"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}", False),
        (WHOLE.replace(b"token ", b"other "), False),
        (WHOLE[:-20], False),
        (STREAM_HEAD + FIRST + TOKEN * 98 + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", True),
        (STREAM_HEAD + FIRST + TOKEN * 99 + b"0\r\n\r\n", True),
        (STREAM_HEAD + FIRST + TOKEN * 50, True),
    ],
    ids=["refused", "no tokens", "cut short", "a token missing", "no end", "cut in the stream"],
)
async def test_what_is_no_whole_answer_is_an_error(serve, answer: bytes, stream: bool) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    done = await Load(job(await serve(handler), stream=stream, rate=10, seconds=0.2)).run()

    assert (done["requests"], done["errors"]) == (0, 2)
    assert done["first_error"] != ""
