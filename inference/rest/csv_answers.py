"""Tables for spreadsheets, sent as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.request import Request

from tenants.api.streaming import csv_lines, streamed_answer


def wants_csv(request: Request, query: Mapping[str, Any]) -> bool:
    accepted = request.headers.get("accept", "")
    return bool(query.get("format", "csv" if accepted.startswith("text/csv") else "json") == "csv")


def csv_answer(
    request: Request, name: str, columns: Sequence[str], pages: Iterable[Sequence[Mapping[str, Any]]]
) -> StreamingHttpResponse:
    """`pages` opens and ends its scope within each page: a transaction is not held while a client reads."""
    return streamed_answer(request._request, f"{name}.csv", "text/csv", _texts(columns, pages))


def _texts(columns: Sequence[str], pages: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[bytes]:
    yield csv_lines([columns])
    for page in pages:
        yield csv_lines([[row.get(column) for column in columns] for row in page])
