"""Usage and costs in buckets of time. Usage belongs to keys, which are nobody's: `user_id` is always null."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.domain.usage_report import Only, Row, Span, add_up
from inference.rest.organization.base import KEY, PROJECT, OrganizationView, Unsupported, read_ids, shown_id
from inference.rest.organization.shapes import CostPage, UsagePage
from tenants.rules import Capability

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
WIDTHS: Final = {"1m": MINUTE_S, "1h": HOUR_S, "1d": DAY_S}
BUCKETS: Final = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}  # how many: unless asked, and at most
COST_BUCKETS: Final = (7, 180)
LAST_S: Final = 2**32  # of a time that makes sense
GROUPS: Final = {"project_id": "project", "api_key_id": "key", "model": "model"}
MICROS: Final = 1_000_000


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What one endpoint counts. `shows`: OpenAI's name of a quantity, by the name of rbee's unit, and how many of these
    are one of it. `groups`: by what it groups beside `GROUPS`, and what each task has there."""

    endpoints: tuple[str, ...]
    shows: dict[str, tuple[str, int]]
    groups: dict[str, Any] = {}


TEXT: Final = {"prompt_tokens": ("input_tokens", 1)}
KINDS: Final[Mapping[str, Kind]] = {
    "completions": Kind(
        endpoints=("chat.completions", "completions", "responses"),
        shows={
            **TEXT,
            "completion_tokens": ("output_tokens", 1),
            "cached_tokens": ("input_cached_tokens", 1),
        },
        groups={"batch": False, "service_tier": "default"},
    ),
    "embeddings": Kind(endpoints=("embeddings",), shows=TEXT),
    "moderations": Kind(endpoints=("moderations",), shows=TEXT),
    "images": Kind(
        endpoints=("images.generations", "images.edits", "images.variations"),
        shows={"images": ("images", 1)},
        groups={"source": "endpoint", "size": None},
    ),
    "audio_speeches": Kind(endpoints=("audio.speech",), shows={"characters": ("characters", 1)}),
    "audio_transcriptions": Kind(
        endpoints=("audio.transcriptions", "audio.translations"), shows={"audio_ms": ("seconds", 1000)}
    ),
}
SOURCES: Final = {
    "images.generations": "image.generation", "images.edits": "image.edit", "images.variations": "image.variation",
}  # fmt: skip
# What a line of a bill counts, by endpoint.
LINES: Final = {
    **dict.fromkeys(("chat.completions", "completions", "responses", "embeddings", "moderations"), "tokens"),
    **dict.fromkeys(SOURCES, "images"),
    "audio.speech": "characters",
    "audio.transcriptions": "duration_seconds",
    "audio.translations": "duration_seconds",
}
QUANTITIES: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "tokens": (("prompt_tokens", "completion_tokens"), 1),
    "images": (("images",), 1),
    "characters": (("characters",), 1),
    "duration_seconds": (("audio_ms",), 1000),
}
NO_USERS = "Usage belongs to keys, which are nobody's: use api_key_ids."


class Strings(serializers.ListField):
    def __init__(self) -> None:
        super().__init__(
            child=serializers.CharField(max_length=200), required=False, min_length=1, max_length=1000
        )


class SpanQuery(serializers.Serializer[Any]):
    start_time = serializers.IntegerField(min_value=0, max_value=LAST_S, help_text="Unix seconds, included")
    end_time = serializers.IntegerField(
        min_value=0, max_value=LAST_S, required=False, help_text="Unix seconds, excluded; left out: now"
    )
    page = serializers.CharField(required=False, max_length=64, help_text="`next_page` of the page before")
    project_ids = Strings()
    api_key_ids = Strings()


class UsageQuery(SpanQuery):
    bucket_width = serializers.ChoiceField(list(WIDTHS), default="1d")
    limit = serializers.IntegerField(min_value=1, required=False, help_text="How many buckets")
    group_by = serializers.ListField(child=serializers.CharField(max_length=32), required=False)
    models = Strings()
    batch = serializers.BooleanField(required=False, allow_null=True, default=None)
    user_ids = Unsupported(NO_USERS)


class CostQuery(SpanQuery):
    bucket_width = serializers.ChoiceField(["1d"], default="1d")
    limit = serializers.IntegerField(min_value=1, max_value=COST_BUCKETS[1], default=COST_BUCKETS[0])
    group_by = serializers.ListField(
        child=serializers.ChoiceField(["project_id", "user_id", "line_item", "api_key_id"]), required=False
    )
    line_items = Strings()


class BucketView(OrganizationView):
    def page(
        self, query: dict[str, Any], limit: int, only: Only, units: Sequence[str], groups: Sequence[str]
    ) -> tuple[Span, dict[int, list[Row]], Response]:
        """The span of this page and what is in it; and the answer, its `data` to be filled."""
        whole = _span(query)
        span = whole.first(limit)
        found = (
            add_up(self.organization.id, span, units=units, group_by=groups, only=only)
            if span.start_s < span.end_s
            else {}
        )
        has_more = span.end_s < whole.end_s
        answer = {
            "object": "page",
            "data": [],
            "has_more": has_more,
            "next_page": _page_token(span.end_s) if has_more else None,
        }
        return span, found, Response(answer)


class UsageView(BucketView):
    capabilities = {"GET": Capability.USAGE_READ}
    kind: ClassVar[str] = ""

    def report(self, kind: Kind) -> Response:
        query = self.read_query(UsageQuery)
        most = BUCKETS[query["bucket_width"]][1]
        limit = query.get("limit", BUCKETS[query["bucket_width"]][0])
        if limit > most:
            raise ValidationError({"limit": [f"At most {most} buckets of {query['bucket_width']}."]})
        wanted = _groups(query, kind)
        groups = [GROUPS[name] for name in wanted if name in GROUPS]
        groups += ["endpoint"] if "source" in wanted else []
        only = Only(
            endpoints=() if query["batch"] else kind.endpoints,
            projects=read_ids(PROJECT, query.get("project_ids")),
            keys=read_ids(KEY, query.get("api_key_ids")),
            models=query.get("models"),
        )
        span, found, answer = self.page(query, limit, only, list(kind.shows), groups)
        answer.data["data"] = [
            _bucket(start_s, end_s, [self.result(kind, row, wanted) for row in found.get(start_s, [])])
            for start_s, end_s in span.buckets()
        ]
        return answer

    def result(self, kind: Kind, row: Row, wanted: Sequence[str]) -> dict[str, Any]:
        own = {
            name: None
            if name not in wanted
            else SOURCES.get(row.groups["endpoint"])
            if value == "endpoint"
            else value
            for name, value in kind.groups.items()
        }
        quantities = {name: row.sums[unit] // scale for unit, (name, scale) in kind.shows.items()}
        return {
            "object": f"organization.usage.{self.kind}.result",
            **quantities,
            "num_model_requests": row.requests,
            **_owners(row),
            "model": row.groups.get("model"),
            **own,
        }


def usage_view(kind: str) -> Any:
    """One for each kind: operations have names of their own."""

    @extend_schema(operation_id=f"get_usage_of_{kind}", parameters=[UsageQuery], responses={200: UsagePage})
    def get(self: UsageView, request: Request) -> Response:
        """What was used and is charged for, in buckets of UTC."""
        return self.report(KINDS[kind])

    name = f"UsageOf{kind.title().replace('_', '')}"
    view: type[UsageView] = type(name, (UsageView,), {"kind": kind, "get": get, "__module__": __name__})
    return view.as_view()


class Costs(BucketView):
    capabilities = {"GET": (Capability.USAGE_READ, Capability.BILLING_READ)}

    @extend_schema(operation_id="get_costs", parameters=[CostQuery], responses={200: CostPage})
    def get(self, request: Request) -> Response:
        """What was charged each day of UTC. Exact amounts, in micro-units, are those of /api/v1/usage."""
        query = self.read_query(CostQuery)
        wanted = query.get("group_by", [])
        by_line = "line_item" in wanted or "line_items" in query
        groups = ["currency", *(GROUPS[name] for name in ("project_id", "api_key_id") if name in wanted)]
        groups += ["model", "endpoint"] if by_line else []
        only = Only(
            projects=read_ids(PROJECT, query.get("project_ids")), keys=read_ids(KEY, query.get("api_key_ids"))
        )
        units = sorted({unit for parts, _ in QUANTITIES.values() for unit in parts})
        span, found, answer = self.page(query, query["limit"], only, units, groups)
        answer.data["data"] = [
            _bucket(start_s, end_s, _costs(found.get(start_s, []), query))
            for start_s, end_s in span.buckets()
        ]
        return answer


class _Line(msgspec.Struct):
    shown: dict[str, Any]
    micros: int = 0
    used: int = 0
    scale: int = 1


def _costs(rows: Sequence[Row], query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Endpoints that count the same are one line."""
    by_line, only = "line_item" in query.get("group_by", []), query.get("line_items")
    lines: dict[tuple[Any, ...], _Line] = {}
    for row in rows:
        unit = LINES.get(row.groups.get("endpoint", ""))
        name = f"{row.groups['model']}, {unit or row.groups['endpoint']}" if "model" in row.groups else None
        if only is not None and name not in only:
            continue
        owners = _owners(row)
        shown = {
            "object": "organization.costs.result",
            "line_item": name if by_line else None,
            "quantity_unit": unit if by_line else None,
            **owners,
        }
        currency = row.groups["currency"].lower()
        line = lines.setdefault((currency, *shown.values()), _Line(shown | {"currency": currency}))
        line.micros += row.amount_micros
        if by_line and unit:
            parts, line.scale = QUANTITIES[unit]
            line.used += sum(row.sums[part] for part in parts)
    return [_cost(line) for line in lines.values()]


def _cost(line: _Line) -> dict[str, Any]:
    currency = line.shown.pop("currency")
    amount = {"value": float(Decimal(line.micros) / MICROS), "currency": currency}
    quantity = float(Decimal(line.used) / line.scale) if line.shown["quantity_unit"] else None
    return {**line.shown, "amount": amount, "quantity": quantity}


def _owners(row: Row) -> dict[str, Any]:
    project, key = row.groups.get("project"), row.groups.get("key")
    return {
        "project_id": project and shown_id(PROJECT, project),
        "user_id": None,
        "api_key_id": key and shown_id(KEY, key),
    }


def _groups(query: Mapping[str, Any], kind: Kind) -> list[str]:
    known = [*GROUPS, "user_id", *kind.groups]
    wanted: list[str] = query.get("group_by", [])
    for name in wanted:
        if name not in known:
            raise ValidationError({"group_by": [f"This takes {', '.join(known)}, not {name}."]})
    return wanted


def _span(query: Mapping[str, Any]) -> Span:
    """From where the page begins to the end, or to the end of the bucket that is running."""
    width_s, now_s = WIDTHS[query["bucket_width"]], int(time.time())
    start_s = _read_page_token(query["page"]) if "page" in query else query["start_time"]
    running_ends_s = (now_s // width_s + 1) * width_s
    end_s = min(query.get("end_time", running_ends_s), running_ends_s)
    if "end_time" in query and query["end_time"] <= query["start_time"]:
        raise ValidationError({"end_time": ["This is after start_time."]})
    return Span(max(start_s, query["start_time"]), end_s, width_s)


def _bucket(start_s: int, end_s: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start_s, "end_time": end_s, "results": results}


def _page_token(start_s: int) -> str:
    return "page_" + base64.urlsafe_b64encode(start_s.to_bytes(5, "big")).decode().rstrip("=")


def _read_page_token(text: str) -> int:
    digits = text.removeprefix("page_")
    try:
        found = int.from_bytes(base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)), "big")
    except (binascii.Error, ValueError):
        found = LAST_S + 1
    if found > LAST_S:
        raise ValidationError({"page": ["This is no page of this list."]})
    return found
