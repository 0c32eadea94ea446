"""A client that costs little: keeps connections open, counts chunks, reports latencies as JSON.

`python bench/load.py '{"host": …, "port": …, "path": …, "headers": {…}, "model": …, "stream": false, "concurrency": 16,
"seconds": 5}'`. `open_only` keeps streams open and prints a line when all have their first chunk.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


async def main(job: dict[str, Any]) -> dict[str, Any]:
    results: list[dict[str, float]] = []
    errors: list[str] = []
    until = time.perf_counter() + job["seconds"]

    async def client() -> None:
        connection: Connection | None = None
        while time.perf_counter() < until:
            try:
                connection = connection or await Connection.open(job)
                results.append(await connection.ask())
            except (OSError, ValueError, asyncio.IncompleteReadError) as error:
                errors.append(f"{type(error).__name__}: {error}"[:200])
                connection = None

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(job["concurrency"])))
    took_s = time.perf_counter() - began
    whole = sorted(result["whole_s"] for result in results)
    first = sorted(result["first_s"] for result in results)
    return {
        "requests": len(results),
        "chunks": int(sum(result["chunks"] for result in results)),
        "errors": len(errors),
        "first_error": errors[0] if errors else "",
        "requests_per_s": round(len(results) / took_s, 1),
        "whole_p50_ms": percentile(whole, 50),
        "whole_p99_ms": percentile(whole, 99),
        "first_p50_ms": percentile(first, 50),
        "first_p99_ms": percentile(first, 99),
    }


def percentile(ordered: list[float], rank: int) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, len(ordered) * rank // 100)] * 1000, 2)


class Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, job: dict[str, Any]
    ) -> None:
        self.reader, self.writer = reader, writer
        body = json.dumps(
            {
                "model": job["model"],
                "stream": job["stream"],
                "messages": [
                    {"role": "system", "content": "You are a benchmark. " * 20},
                    {"role": "user", "content": "Please say the word token. " * 8},
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

    async def ask(self) -> dict[str, float]:
        began = time.perf_counter()
        self.writer.write(self.request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0].decode() + " " + (await self._rest(head))[:150].decode())
        if b"chunked" not in head:
            await self._rest(head)
            took_s = time.perf_counter() - began
            return {"whole_s": took_s, "first_s": took_s, "chunks": 1}
        first_s, chunks = 0.0, 0
        while size := int(await self.reader.readline(), 16):
            data = await self.reader.readexactly(size + 2)
            first_s = first_s or time.perf_counter() - began
            chunks += data.count(b"data: ")
        await self.reader.readline()
        return {"whole_s": time.perf_counter() - began, "first_s": first_s, "chunks": chunks}

    async def _rest(self, head: bytes) -> bytes:
        if b"content-length:" not in head:
            return b""
        return await self.reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(main(json.loads(sys.argv[1])))))
