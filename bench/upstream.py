"""The upstream that LiteLLM and Portkey are given: an OpenAI server that costs next to nothing.

`python bench/upstream.py PORT` answers /v1/chat/completions: 32 tokens at once, or when streamed 100 tokens, 5 ms before
each; under /slow/v1 200 ms. The echo engine behind rbee's hive keeps the same pace, first token included.
"""

from __future__ import annotations

import asyncio
import json
import sys

WHOLE_TOKENS = 32
STREAM_TOKENS = 100
PACE_S = 0.005
SLOW_PACE_S = 0.2
USAGE = {"prompt_tokens": 20, "completion_tokens": WHOLE_TOKENS, "total_tokens": 20 + WHOLE_TOKENS}


def whole_answer() -> bytes:
    message = {"role": "assistant", "content": "token " * WHOLE_TOKENS}
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


WHOLE = whole_answer()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = event({"role": "assistant", "content": "token "})
TOKEN = event({"content": "token "})
LAST = event({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await read_body(reader, head.lower())
            if b'"stream":true' in body.replace(b" ", b""):
                await stream(writer, SLOW_PACE_S if b"/slow/" in head.split(b"\r\n", 1)[0] else PACE_S)
            else:
                writer.write(WHOLE)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"content-length:" in head:
        return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    if b"chunked" not in head:
        return b""
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)


async def stream(writer: asyncio.StreamWriter, pace_s: float) -> None:
    """By the clock, so that one late token makes no later one late."""
    now = asyncio.get_running_loop().time
    began = now()
    writer.write(STREAM_HEAD)
    for number in range(STREAM_TOKENS):
        await asyncio.sleep(began + (number + 1) * pace_s - now())
        writer.write(TOKEN if number else FIRST)
    writer.write(LAST)
    await writer.drain()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve_connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))
