"""Buckets over tasks that were settled: committed rows, of tenants that no other test has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from billing.domain.settlement import Settlement
from gdpr.ids import uuid7
from inference.domain.bootstrap import prepare_colony
from tenants.models import ApiKey, Project
from tests.factories.billing import make_card, make_price, make_settlement
from tests.factories.tenants import make_key, make_plan, make_project
from tests.inference.rest.organization.conftest import admin_client
from tests.inference.rest.test_usage import book

HOUR = 3600
DAY = 24 * HOUR
MIDNIGHT = int(time.time()) // DAY * DAY - 2 * DAY  # the day before yesterday

Book = Callable[..., Settlement]


@pytest.fixture
def project(committed_db: None, redis_url: str) -> Project:
    prepare_colony()
    return make_project()


@pytest.fixture
def key(project: Project) -> ApiKey:
    return make_key(project)[0]


@pytest.fixture
def client(project: Project) -> Iterator[OpenAI]:
    with admin_client(make_key(project, scopes=["manage"])[1]) as client:
        yield client


@pytest.fixture
def at(project: Project, key: ApiKey, postgres: Any) -> Book:
    """Books a task that was admitted at a time, by the key unless told otherwise."""
    price = make_price()

    def settle(time_s: float, **fields: Any) -> Settlement:
        made = make_settlement(
            fields.pop("project", project),
            fields.pop("price", price),
            task_id=uuid7(int(time_s * 1e9)).hex,
            **{"key_id": key.id.hex, **fields},
        )
        book(postgres.app_url, [made])
        return made

    return settle


def test_usage_is_added_up_by_day(client: OpenAI, at: Book, project: Project) -> None:
    at(MIDNIGHT)
    at(MIDNIGHT + DAY - 0.001, usage={"prompt_tokens": 5, "completion_tokens": 7, "cached_tokens": 3})
    at(MIDNIGHT + DAY)
    at(MIDNIGHT - 1)  # before
    at(MIDNIGHT + 5, outcome="worker_error")  # is not charged
    at(MIDNIGHT + 5, project=make_project(), key_id="")  # of others

    page = client.admin.organization.usage.completions(start_time=MIDNIGHT)

    assert (page.object, page.has_more, page.next_page) == ("page", False, None)
    assert [(one.start_time, one.end_time) for one in page.data] == [
        (MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY) for day in range(3)
    ]
    first, second, third = (one.results for one in page.data)
    assert first[0].to_dict() == {
        "object": "organization.usage.completions.result", "input_tokens": 15, "output_tokens": 27,
        "input_cached_tokens": 3, "num_model_requests": 2, "project_id": None, "user_id": None, "api_key_id": None,
        "model": None, "batch": None, "service_tier": None,
    }  # fmt: skip
    assert (second[0].input_tokens, len(second), third) == (10, 1, [])


def test_minutes_and_hours_are_pages_that_go_on(client: OpenAI, at: Book) -> None:
    at(MIDNIGHT + 30)
    at(MIDNIGHT + 61)
    at(MIDNIGHT + HOUR - 1)
    usage = client.admin.organization.usage.completions
    by_minute: dict[int, int] = {}
    page = None

    for _ in range(4):
        found = usage(
            start_time=MIDNIGHT + 10,
            end_time=MIDNIGHT + HOUR,
            bucket_width="1m",
            limit=20,
            **({"page": page} if page else {}),
        )
        for bucket in found.data:
            by_minute.update((bucket.start_time, one.num_model_requests) for one in bucket.results)
        page = found.next_page
        if not found.has_more:
            break

    assert by_minute == {MIDNIGHT + 10: 1, MIDNIGHT + 60: 1, MIDNIGHT + HOUR - 60: 1}
    assert (page, found.data[-1].end_time) == (None, MIDNIGHT + HOUR)
    hours = usage(start_time=MIDNIGHT, end_time=MIDNIGHT + 90 * 60, bucket_width="1h").data
    assert [(one.end_time - one.start_time, len(one.results)) for one in hours] == [(HOUR, 1), (HOUR // 2, 0)]


def test_usage_is_grouped_and_filtered(client: OpenAI, at: Book, project: Project, key: ApiKey) -> None:
    other = make_project(project.tenant)
    theirs, _ = make_key(other)
    first = at(MIDNIGHT)
    at(MIDNIGHT, project=other, key_id=theirs.id.hex, price=make_price())
    at(MIDNIGHT, key_id="")
    usage = client.admin.organization.usage.completions
    day = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + DAY}

    def results(**query: Any) -> list[Any]:
        return usage(**day, **query).data[0].results

    grouped = results(group_by=["project_id", "api_key_id", "model", "batch", "user_id"])
    assert {(one.project_id, one.api_key_id, one.num_model_requests) for one in grouped} == {
        (f"proj_{project.id.hex}", f"key_{key.id.hex}", 1),
        (f"proj_{project.id.hex}", None, 1),
        (f"proj_{other.id.hex}", f"key_{theirs.id.hex}", 1),
    }
    assert {one.model for one in grouped} > {first.model}
    assert {(one.batch, one.user_id) for one in grouped} == {(False, None)}
    for query, count in [
        ({"project_ids": [f"proj_{other.id.hex}"]}, 1),
        ({"project_ids": [f"proj_{other.id.hex}", f"proj_{project.id.hex}"]}, 3),
        ({"api_key_ids": [f"key_{key.id.hex}"]}, 1),
        ({"models": [first.model]}, 2),
        ({"batch": False}, 3),
    ]:
        assert sum(one.num_model_requests for one in results(**query)) == count, query
    for nothing in ({"project_ids": ["proj_x"]}, {"models": ["nothing"]}, {"batch": True}):
        assert results(**nothing) == []


@pytest.mark.parametrize(
    ("kind", "endpoint", "usage", "shown"),
    [
        ("embeddings", "embeddings", {"prompt_tokens": 8}, {"input_tokens": 8}),
        ("moderations", "moderations", {"prompt_tokens": 9}, {"input_tokens": 9}),
        ("images", "images.edits", {"images": 2}, {"images": 2, "source": "image.edit"}),
        ("audio_speeches", "audio.speech", {"characters": 40}, {"characters": 40}),
        ("audio_transcriptions", "audio.transcriptions", {"audio_ms": 4500}, {"seconds": 4}),
    ],
)
def test_each_kind_counts_its_own(
    client: OpenAI, at: Book, kind: str, endpoint: str, usage: dict[str, int], shown: dict[str, Any]
) -> None:
    at(MIDNIGHT)  # of a chat
    at(MIDNIGHT, endpoint=endpoint, usage=usage)
    groups = {"group_by": ["source"]} if "source" in shown else {}

    (result,) = getattr(client.admin.organization.usage, kind)(start_time=MIDNIGHT, **groups).data[0].results

    found = result.to_dict()
    assert found["object"] == f"organization.usage.{kind}.result"
    assert (found["num_model_requests"], {name: found[name] for name in shown}) == (1, shown)


def test_costs_are_what_was_charged(client: OpenAI, at: Book, project: Project, key: ApiKey) -> None:
    cheap, dear = make_price(), make_price(prices={"prompt_tokens": 10**6, "completion_tokens": 0})
    at(MIDNIGHT, price=cheap)
    at(MIDNIGHT, price=cheap, endpoint="completions")
    at(MIDNIGHT, price=dear, usage={"prompt_tokens": 1_000_001})
    costs = client.admin.organization.usage.costs

    def results(**query: Any) -> list[dict[str, Any]]:
        return [one.to_dict() for one in costs(start_time=MIDNIGHT, **query).data[0].results]

    (total,) = results()
    assert total == {
        "object": "organization.costs.result", "amount": {"value": 1.000029, "currency": "eur"}, "line_item": None,
        "quantity": None, "quantity_unit": None, "project_id": None, "user_id": None, "api_key_id": None,
    }  # fmt: skip
    lines = {one["line_item"]: one for one in results(group_by=["line_item", "project_id"])}
    assert {
        name: (one["amount"]["value"], one["quantity"], one["quantity_unit"]) for name, one in lines.items()
    } == {
        f"{cheap.model}, tokens": (0.000028, 60.0, "tokens"),
        f"{dear.model}, tokens": (1.000001, 1_000_001.0, "tokens"),
    }
    assert {one["project_id"] for one in lines.values()} == {f"proj_{project.id.hex}"}
    (one,) = results(line_items=[f"{cheap.model}, tokens"], api_key_ids=[f"key_{key.id.hex}"])
    assert (one["amount"]["value"], one["line_item"]) == (0.000028, None)
    assert costs(start_time=MIDNIGHT, limit=1).has_more is True


def test_currencies_are_not_added(client: OpenAI, at: Book) -> None:
    card = make_card(slug=f"dollars-{time.time_ns()}", currency="USD", plan=make_plan())
    at(MIDNIGHT)
    at(MIDNIGHT, price=make_price(card=card))

    results = client.admin.organization.usage.costs(start_time=MIDNIGHT).data[0].results

    assert sorted(one.amount.currency for one in results) == ["eur", "usd"]


def test_what_cannot_be_answered_is_refused(client: OpenAI) -> None:
    usage = client.admin.organization.usage
    for call, query, param in [
        (usage.completions, {"group_by": ["size"]}, "group_by"),
        (usage.completions, {"user_ids": ["user-1"]}, "user_ids"),
        (usage.completions, {"bucket_width": "2d"}, "bucket_width"),
        (usage.completions, {"limit": 32}, "limit"),
        (usage.completions, {"page": "page_x"}, "page"),
        (usage.completions, {"end_time": MIDNIGHT}, "end_time"),
        (usage.completions, {"extra_query": {"modles": "m"}}, "modles"),
        (usage.costs, {"bucket_width": "1h"}, "bucket_width"),
        (usage.costs, {"limit": 181}, "limit"),
    ]:
        with pytest.raises(BadRequestError) as refused:
            call(start_time=MIDNIGHT, **query)
        assert str(refused.value.param).split(".")[0] == param


def test_months_join(client: OpenAI, at: Book) -> None:
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    boundary = int(first.timestamp())
    at(boundary - 1)
    at(boundary)

    days = client.admin.organization.usage.completions(
        start_time=boundary - DAY, end_time=boundary + DAY, group_by=["model"]
    )

    assert [[one.num_model_requests for one in day.results] for day in days.data] == [[1], [1]]
