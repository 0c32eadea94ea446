"""Answers that are sent as they are read, and lines of tables for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from rest_framework.request import Request

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def streamed_answer(
    request: Request, filename: str, content_type: str, texts: Iterator[bytes]
) -> StreamingHttpResponse:
    """`texts` opens and ends its scope within each of them: a transaction is not held while a client reads."""
    body = _in_thread(texts) if isinstance(request._request, ASGIRequest) else texts
    answer = StreamingHttpResponse(body, content_type=f"{content_type}; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
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


async def _in_thread(texts: Iterator[bytes]) -> AsyncIterator[bytes]:
    def read() -> bytes | None:
        return next(texts, None)

    while (text := await sync_to_async(read)()) is not None:
        yield text


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
