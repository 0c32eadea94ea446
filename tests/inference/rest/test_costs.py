"""Costs over REST, and the example of the docs: what stands there is what the program says."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.cost_models import GpuHour
from hive_agent.protocol import DeviceReport, WorkerReport, encode
from inference.domain.costs import note_present_gpus
from inference.domain.notices import redis_client
from rbee_cli.commands.cost import _compared
from rbee_cli.output import Output
from tests.factories.billing import make_price
from tests.factories.books import Bookkeeper
from tests.factories.inference import heartbeat, make_hive
from tests.factories.tenants import make_key, make_project, unique
from tests.inference.conftest import Api

PAGE = (Path(__file__).parents[3] / "platform/docs/billing.md").read_text()
ALL_MINUTES = 2**60 - 1
HOUR_MS = 3_600_000


def month_of_30_days() -> datetime:
    today = datetime.now(UTC).date().replace(day=1)
    for back in range(1, 13):
        year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        if month + 1 in (4, 6, 9, 11):
            return datetime(year, month + 1, 1, tzinfo=UTC)
    raise AssertionError


def be_there(books: Bookkeeper, since: datetime, hours: int) -> None:
    GpuHour.objects.bulk_create(
        GpuHour(hive_id=books.hive.id, gpu=0, hour=since + timedelta(hours=hour), minutes=ALL_MINUTES, workers=[books.hive.worker])
        for hour in range(hours)
    )  # fmt: skip


def example(operator: Api, hours: int, tokens: int) -> dict[str, Any]:
    """What the docs say: their card, a month, a GPU that was busy for so many hours, and invented list prices."""
    since = month_of_30_days()
    books = Bookkeeper(since + timedelta(days=20), price=make_price("example-model"))
    be_there(books, since, 720)
    card = {
        "target": "all", "kwh_micros": 300_000, "busy_w": 350, "idle_w": 30, "price_micros": 1_800_000_000,
        "months": 36, "hosting_micros": 20_000_000, "valid_from": f"{since:%Y-%m-%dT00:00:00Z}",
    }  # fmt: skip
    assert operator.post("costs/gpus", card).status_code == 201
    for unit, micros in (("prompt_tokens", 150_000), ("completion_tokens", 600_000)):
        price = {
            "provider": "ExampleCloud", "offer": "example-large", "model": "example-model", "unit": unit,
            "micros_per_million": micros, "currency": "EUR", "source": "https://example.com/pricing", "seen_on": "2024-01-01",
        }  # fmt: skip
        assert operator.post("costs/list-prices", price).status_code == 201
    usage = {"prompt_tokens": 3 * tokens, "completion_tokens": tokens, "engine_ms": hours * HOUR_MS}
    books.book(began_at=since + timedelta(hours=1), ms=hours * HOUR_MS, usage=usage)
    (row,) = operator.get("costs/compare", month=f"{since:%Y-%m}").json()["data"]
    return dict(row)


def test_example_of_the_docs_is_what_the_program_says(
    operator: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    row = example(operator, 300, 300_000_000)

    _compared(Output(as_json=False), row)

    assert f"```text\n{capsys.readouterr().out}```" in PAGE


def test_gpu_that_mostly_waits_is_dearer(operator: Api) -> None:
    row = example(operator, 60, 60_000_000)

    assert (row["own_micros"], row["list_micros"]) == (82_240_000, 63_000_000)
    assert row["cheaper_percent"].startswith("-")
    assert "82.24 against 63" in PAGE.replace("\n", " ")


def test_report_adds_up_by_every_group_and_as_csv(operator: Api) -> None:
    since = month_of_30_days()
    books = Bookkeeper(since + timedelta(days=3))
    other = Bookkeeper(books.at, make_project(), make_price())
    other.hive = books.hive
    be_there(books, since, 720)
    operator.post(
        "costs/gpus", {"busy_w": 333, "kwh_micros": 317_000, "idle_w": 7, "valid_from": since.isoformat()}
    )
    tasks = [
        books.book(
            began_at=books.at + timedelta(minutes=place),
            ms=90_000,
            usage={"prompt_tokens": 10**6, "engine_ms": 1 + place},
        )
        for place in range(3)
    ]
    other.book(began_at=books.at, ms=77_777)
    asked = {"month": f"{since:%Y-%m}"}

    reports = {
        by: operator.get("costs/report", by=by, **asked).json() for by in ("model", "tenant", "hive", "gpu")
    }

    (total,) = reports["model"]["totals"]
    assert total["revenue_micros"] == 3 * 150_000 + 272
    for by, found in reports.items():
        assert found["totals"] == [total], by
        (gpu,) = found["gpus"]
        assert sum(row["cost_micros"] for row in found["rows"]) == gpu["cost_micros"] == total["cost_micros"]
        assert (gpu["source"], gpu["busy_ms"], gpu["present_ms"]) == ("card", 120_000 + 90_000, 720 * HOUR_MS)
    of_tasks = [operator.get(f"billing/tasks/{task}", cost="true").json()["cost"] for task in tasks]
    (of_model,) = [row for row in reports["model"]["rows"] if row["group"] == books.price.model]
    assert [cost["engine_ms"] for cost in of_tasks] == [1, 2, 3]
    assert sum(cost["cost_micros"] for cost in of_tasks) == pytest.approx(of_model["cost_micros"], abs=4)
    customer = Api(make_key(books.project, scopes=["manage"])[1])
    assert "cost" not in customer.get(f"billing/tasks/{tasks[0]}").json()
    assert customer.get(f"billing/tasks/{tasks[0]}", cost="true").status_code == 403
    rows = {row["group"]: row for row in reports["tenant"]["rows"]}
    assert set(rows) == {books.project.tenant.slug, other.project.tenant.slug}
    answer = operator.get("costs/report", by="tenant", format="csv", **asked)
    table = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode()))
    assert {row["group"]: int(row["margin_micros"]) for row in table} == {
        slug: row["margin_micros"] for slug, row in rows.items()
    }
    busy = [
        row
        for row in operator.get("costs/utilisation", bucket="hour", **asked).json()["data"]
        if row["busy_ms"]
    ]
    assert [(row["busy_ms"], row["percent"]) for row in busy] == [(210_000, "5.83")]


def test_labels_of_a_hive_are_a_card_and_heartbeats_say_what_is_there(operator: Api) -> None:
    hive, _ = make_hive()
    hive.labels = {"cost_per_hour": 0.6}
    hive.save()
    worker = "ab" * 16
    gpu = DeviceReport(1, "cuda", "H100", "H100", 80_000, 80_000, 0)
    cpu = DeviceReport(0, "cpu", "CPU", "CPU", 1, 1, 0)
    report = WorkerReport(worker, "m", "vllm", "ready", "text-gen", [1], 0, 0, 4, 1, 0, 1, 1)
    redis_client().set(
        f"{hive.prefix}state", encode(heartbeat(hive, devices=[cpu, gpu], workers=[report])), px=30_000
    )

    assert note_present_gpus() == 1

    row = GpuHour.objects.get(hive_id=hive.id)
    assert (row.gpu, row.workers, row.minutes.bit_count()) == (1, [worker], 1)
    (shown,) = [
        each for each in operator.get("costs/report").json()["gpus"] if each["gpu"] == f"{hive.name}:1"
    ]
    assert (shown["source"], shown["currency"]) == ("labels", "EUR")
    assert shown["cost_micros"] == pytest.approx(shown["total_ms"] / HOUR_MS * 600_000, abs=2)
    assert shown["unallocated_micros"] == shown["cost_micros"]


def test_cards_are_versions_for_the_operator_alone(operator: Api) -> None:
    hive, _ = make_hive()
    customer = Api(make_key(make_project(), scopes=["manage"])[1])

    for body, status in [
        (
            {
                "target": f"{hive.name}:0",
                "busy_w": 5,
                "tariff": [{"from_hour": 22, "to_hour": 6, "kwh_micros": 1}],
            },
            201,
        ),
        ({"target": f"{hive.name}:0", "busy_w": 6}, 201),
        ({"target": unique("hive")}, 404),
        ({"target": f"{hive.name}:x"}, 400),
        ({"price_micros": 5}, 400),
        ({"kwh_micros": -1}, 400),
        ({"watts": 5}, 400),
    ]:
        assert operator.post("costs/gpus", body).status_code == status, body
    versions = [(row["target"], row["version"]) for row in operator.get("costs/gpus").json()["data"]]
    assert versions[:2] == [(f"{hive.name}:0", 2), (f"{hive.name}:0", 1)]
    for path in ("costs/gpus", "costs/report", "costs/utilisation", "costs/list-prices", "costs/compare"):
        assert customer.get(path).status_code == 403
    assert customer.post("costs/gpus", {}).status_code == 403
    assert operator.post("costs/list-prices", {"provider": "x"}).status_code == 400
