"""Answers that are sent as they are read, and lines of tables for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponseBase, StreamingHttpResponse

CHUNK: Final = 256 * 1024
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def streamed_answer(
    request: HttpRequest, filename: str, content_type: str, texts: Iterator[bytes]
) -> StreamingHttpResponse:
    """`texts` opens and ends its scope within each of them: a transaction is not held while a client reads."""
    body = _in_thread(texts) if isinstance(request, ASGIRequest) else texts
    answer = StreamingHttpResponse(body, content_type=f"{content_type}; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer


def file_answer(request: HttpRequest, path: Path, filename: str, content_type: str) -> HttpResponseBase:
    """As a download, a piece at a time."""
    if not isinstance(request, ASGIRequest):
        return FileResponse(path.open("rb"), as_attachment=True, filename=filename, content_type=content_type)
    answer = StreamingHttpResponse(_chunks(path), content_type=content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    answer.headers["Content-Length"] = str(path.stat().st_size)
    return answer


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([[csv_cell(value) for value in row] for row in rows])
    return text.getvalue().encode()


def csv_cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await sync_to_async(lambda: path.open("rb"))()
    try:
        while chunk := await sync_to_async(file.read)(CHUNK):
            yield chunk
    finally:
        file.close()


async def _in_thread(texts: Iterator[bytes]) -> AsyncIterator[bytes]:
    def read() -> bytes | None:
        return next(texts, None)

    while (text := await sync_to_async(read)()) is not None:
        yield text


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
