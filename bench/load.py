"""A client that costs little: keeps connections open, checks that answers are whole, reports latencies as JSON.

`python bench/load.py '{"host": …, "port": …, "path": …, "headers": {…}, "model": …, "stream": false, "tokens": 32, …}'`
and one of three shapes:

    "concurrency": 16, "seconds": 5     so many clients, each asks again as soon as it has its answer
    "rate": 4, "seconds": 5             so many requests a second, whether or not earlier ones were answered
    "concurrency": 100, "hold": true    so many streams at once; prints a line when each has its first event

An answer that is refused, cut short, or holds another number of tokens than `tokens` is an error and counts as nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

LONGEST_S = 60  # of one answer


class Wrong(ValueError):
    """The answer is not what was asked for."""


class Load:
    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.results: list[dict[str, float]] = []
        self.errors: list[str] = []
        self.idle: list[Connection] = []
        self.begun = 0

    async def run(self) -> dict[str, Any]:
        began = time.perf_counter()
        if "rate" in self.job:
            await self._open_loop()
        elif self.job.get("hold"):
            await self._hold()
        else:
            until = began + self.job["seconds"]
            await asyncio.gather(*(self._client(until) for _ in range(self.job["concurrency"])))
        took_s = time.perf_counter() - began
        for connection in self.idle:
            await connection.close()
        whole = sorted(result["whole_s"] for result in self.results)
        first = sorted(result["first_s"] for result in self.results)
        return {
            "requests": len(self.results),
            "chunks": int(sum(result["chunks"] for result in self.results)),
            "errors": len(self.errors),
            "first_error": self.errors[0] if self.errors else "",
            "requests_per_s": round(len(self.results) / took_s, 1),
            "whole_p50_ms": percentile(whole, 50),
            "whole_p99_ms": percentile(whole, 99),
            "first_p50_ms": percentile(first, 50),
            "first_p99_ms": percentile(first, 99),
        }

    async def _client(self, until: float) -> None:
        while time.perf_counter() < until:
            await self._ask()

    async def _open_loop(self) -> None:
        began = time.perf_counter()
        asked = []
        for number in range(int(self.job["rate"] * self.job["seconds"])):
            await asyncio.sleep(max(0.0, began + number / self.job["rate"] - time.perf_counter()))
            asked.append(asyncio.create_task(self._ask()))
        await asyncio.gather(*asked)

    async def _hold(self) -> None:
        async def tell() -> None:
            while self.begun < self.job["concurrency"] and not self.errors:
                await asyncio.sleep(0.05)
            print("open" if not self.errors else self.errors[0], flush=True)

        await asyncio.gather(tell(), *(self._ask() for _ in range(self.job["concurrency"])))

    async def _ask(self) -> None:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(LONGEST_S):
                connection = self.idle.pop() if self.idle else await Connection.open(self.job)
                self.results.append(await connection.ask(self._note_first))
                self.idle.append(connection)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self.errors.append(f"{type(error).__name__}: {error}"[:200])
            if connection is not None:
                await connection.close()
            await asyncio.sleep(0.01)  # a gateway that refuses is not flooded

    def _note_first(self) -> None:
        self.begun += 1


class Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, job: dict[str, Any]
    ) -> None:
        self.reader, self.writer, self.tokens = reader, writer, job["tokens"]
        body = json.dumps(
            {
                "model": job["model"],
                "stream": job["stream"],
                "messages": [
                    {"role": "system", "content": "You are a benchmark. " * 20},
                    {"role": "user", "content": "token " * 40},
                ],
            }
        ).encode()
        headers = {
            "host": f"{job['host']}:{job['port']}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **job["headers"],
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.request = f"POST {job['path']} HTTP/1.1\r\n{lines}\r\n".encode() + body

    @classmethod
    async def open(cls, job: dict[str, Any]) -> Connection:
        reader, writer = await asyncio.open_connection(job["host"], job["port"], limit=1 << 20)
        return cls(reader, writer, job)

    async def ask(self, on_first: Callable[[], None]) -> dict[str, float]:
        """`chunks` are the events that carry a token."""
        began = time.perf_counter()
        self.writer.write(self.request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise Wrong(head.split(b"\r\n")[0].decode() + " " + (await self._rest(head))[:150].decode())
        if b"text/event-stream" not in head:
            body = await self._rest(head)
            took_s = time.perf_counter() - began
            if body.count(b"token") < self.tokens:
                raise Wrong(f"an answer with too few tokens: {body[:150]!r}")
            return {"whole_s": took_s, "first_s": took_s, "chunks": 1}
        first_s = 0.0
        pieces = []
        async for piece in self._pieces():
            if not first_s and b"token" in piece:
                first_s = time.perf_counter() - began
                on_first()
            pieces.append(piece)
        whole_s = time.perf_counter() - began
        data = b"".join(pieces)
        chunks = sum(b"token" in event for event in data.split(b"\n\n"))
        if chunks != self.tokens or not data.rstrip().endswith(b"data: [DONE]"):
            raise Wrong(f"a stream with {chunks} of {self.tokens} tokens that ends with {data[-150:]!r}")
        return {"whole_s": whole_s, "first_s": first_s, "chunks": chunks}

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    async def _rest(self, head: bytes) -> bytes:
        if b"chunked" in head:
            return b"".join([piece async for piece in self._pieces()])
        if b"content-length:" not in head:
            return b""
        return await self.reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))

    async def _pieces(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline(), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()


def percentile(ordered: list[float], rank: int) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, len(ordered) * rank // 100)] * 1000, 2)


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(Load(json.loads(sys.argv[1])).run())))
