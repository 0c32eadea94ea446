"""Tables for spreadsheets, sent as they are read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from rest_framework.request import Request

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def wants_csv(request: Request, query: Mapping[str, Any]) -> bool:
    accepted = request.headers.get("accept", "")
    return bool(query.get("format", "csv" if accepted.startswith("text/csv") else "json") == "csv")


def csv_answer(
    request: Request, name: str, columns: Sequence[str], pages: Iterable[Sequence[Mapping[str, Any]]]
) -> StreamingHttpResponse:
    """`pages` opens and ends its scope within each page: a transaction is not held while a client reads."""
    texts = _texts(columns, pages)
    body = _in_thread(texts) if isinstance(request._request, ASGIRequest) else texts
    answer = StreamingHttpResponse(body, content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _texts(columns: Sequence[str], pages: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[bytes]:
    yield _lines([columns])
    for page in pages:
        yield _lines([[_cell(row.get(column)) for column in columns] for row in page])


async def _in_thread(texts: Iterator[bytes]) -> AsyncIterator[bytes]:
    def read() -> bytes | None:
        return next(texts, None)

    while (text := await sync_to_async(read)()) is not None:
        yield text


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
