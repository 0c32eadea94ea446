"""Summaries, CSV and /admin/usage: every number is the ledger's."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.models import LedgerTransfer
from gdpr.scope import tenant_tx
from tenants.models import Plan
from tests.factories.billing import make_price
from tests.factories.books import Bookkeeper
from tests.factories.tenants import make_key, make_project, make_tenant
from tests.inference.conftest import Api

AT = datetime.now(UTC).replace(day=5, hour=12, minute=0, second=0, microsecond=0) - timedelta(days=45)
AT = AT.replace(day=5)
MONTH = f"{AT:%Y-%m}"
SPAN = {"since": f"{AT:%Y-%m-01T00:00:00Z}", "until": f"{AT + timedelta(days=3):%Y-%m-%dT00:00:00Z}"}


def ledger_of(books: Bookkeeper) -> int:
    with tenant_tx(books.project.tenant_id):
        booked = LedgerTransfer.objects.filter(kind="task", credit_account="revenue:usage")
        return sum(booked.values_list("amount_micros", flat=True))


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    assert answer["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode(), newline="")))


def test_summary_adds_up_to_the_ledger_by_every_group_and_bucket(operator: Api) -> None:
    books = Bookkeeper(AT)
    other = Bookkeeper(AT, make_project(books.project.tenant), make_price())
    for hours in (0, 1, 25):
        books.book(began_at=AT + timedelta(hours=hours))
    other.book()
    other.book(outcome="worker_failed")
    slug = books.project.tenant.slug

    for asked in (
        {},
        {"group_by": "model,project,key,outcome,hive,region,endpoint,tenant"},
        {"bucket": "hour"},
    ):
        for time in ({"month": MONTH}, SPAN):
            rows = operator.get("usage/summary", tenant=slug, **time, **asked).json()["data"]
            assert sum(row["amount_micros"] for row in rows) == ledger_of(books)
            assert sum(row["usage"].get("prompt_tokens", 0) for row in rows) == 4 * 1001
            assert (sum(row["tasks"] for row in rows), sum(row["charged_tasks"] for row in rows)) == (5, 4)
    days = operator.get("usage/summary", tenant=slug, month=MONTH, bucket="day", group_by="model").json()[
        "data"
    ]
    assert [(row["start"][8:10], row["group"]["model"], row["charged_tasks"]) for row in days] == sorted(
        [("05", books.price.model, 2), ("06", books.price.model, 1), ("05", other.price.model, 1)]
    )
    assert days[0]["group"] == {"model": days[0]["group"]["model"]}


def test_summary_as_csv_is_the_same(operator: Api) -> None:
    books = Bookkeeper(AT)
    books.book()
    asked = {
        "tenant": books.project.tenant.slug,
        "month": MONTH,
        "group_by": "tenant,project",
        "format": "csv",
    }

    (row,) = table(operator.get("usage/summary", **asked))

    assert row == {
        "start": "", "tenant": books.project.tenant.slug, "project": books.project.slug, "tasks": "1",
        "charged_tasks": "1", "completion_tokens": "203", "engine_ms": "700", "prompt_tokens": "1001",
        "amount_micros": "272", "currency": "EUR",
    }  # fmt: skip


def test_list_as_csv_has_all_rows_however_many_pages_they_are(
    operator: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.rest.usage.PAGE_MAX", 3)
    books = Bookkeeper(AT, price=make_price("=SUM(A1)"))
    tasks = [books.book(began_at=AT + timedelta(seconds=place)) for place in range(8)]

    rows = table(operator.get("usage", tenant=books.project.tenant.slug, format="csv"))

    assert [row["id"] for row in rows] == [str(task) for task in reversed(tasks)]
    assert sum(int(row["amount_micros"]) for row in rows) == ledger_of(books)
    assert rows[0]["model"] == "'=SUM(A1)"  # a spreadsheet must not run it
    accepted = operator.client.get("/api/v1/usage", headers={"accept": "text/csv"})
    assert len(table(accepted)) >= 8
    assert operator.get("usage", format="xml").status_code == 400


def test_tenant_sees_its_own_sums_only(operator: Api) -> None:
    books, other = Bookkeeper(AT), Bookkeeper(AT)
    books.book()
    other.book()
    customer = Api(make_key(books.project, scopes=["read"])[1])

    (row,) = customer.get("usage/summary", month=MONTH).json()["data"]

    assert row["amount_micros"] == ledger_of(books)
    assert customer.get("usage/summary", tenant=other.project.tenant.slug).status_code == 404
    assert customer.client.get(f"/admin/usage/{books.project.tenant.slug}").status_code == 403
    assert customer.client.get("/admin/usage/export").status_code == 403


@pytest.mark.parametrize(
    "asked",
    [{"group_by": "prompt"}, {"bucket": "week"}, {"month": "2026-13"}, {"month": "2999-01"}, {"until": SPAN["until"]},
     {"since": SPAN["until"], "until": SPAN["since"]}, {"month": MONTH, **SPAN}],
)  # fmt: skip
def test_question_that_makes_no_sense_is_refused(operator: Api, asked: dict[str, str]) -> None:
    answer = operator.get("usage/summary", **asked)

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_customers_month_has_the_fields_of_the_glossary(operator: Api) -> None:
    limits = {"quantities": {"images": {"month": 5}, "audio_seconds": {"day": 60}}, "soft": True}
    plan = Plan.objects.create(slug="soft-plan", name="x", tier="pro", tokens_per_day=1500, limits=limits)
    units = {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 2_000_000,
        "images": 3_000_000,
        "audio_ms": 14_400_000,  # for an hour
    }
    books = Bookkeeper(AT, make_project(make_tenant(plan=plan)), make_price(prices=units))
    books.book(usage={"prompt_tokens": 1000, "completion_tokens": 200})
    books.book(usage={"prompt_tokens": 400, "completion_tokens": 50}, began_at=AT + timedelta(minutes=1))
    books.book(usage={"prompt_tokens": 100, "completion_tokens": 0}, began_at=AT + timedelta(days=1))
    books.book(usage={"images": 7})
    books.book(usage={"audio_ms": 90_500})
    books.book(usage={"images": 70}, outcome="worker_failed")
    slug = books.project.tenant.slug

    found = operator.client.get(f"/admin/usage/{slug}?month={MONTH}").json()

    assert found["usage"] == {
        "text_tokens": 1750, "images_generated": 7, "audio_minutes": 1.508, "video_minutes": 0.0
    }  # fmt: skip
    assert found["costs"] == {
        "text": "0.002000", "images": "0.000021", "audio": "0.362000", "video": "0.000000", "total": "0.364021",
    }  # fmt: skip
    assert (found["customer"], found["month"], found["tier"], found["currency"]) == (
        slug,
        MONTH,
        "pro",
        "EUR",
    )
    assert found["overage"] == {
        "text_tokens": 150, "images_generated": 2, "audio_minutes": 0.508, "video_minutes": 0.0
    }  # fmt: skip
    assert round(float(found["costs"]["total"]) * 1_000_000) == ledger_of(books)
    empty = operator.client.get(f"/admin/usage/{make_project().tenant.slug}").json()
    assert (empty["usage"]["text_tokens"], empty["costs"]["total"]) == (0, "0.000000")
    assert operator.client.get("/admin/usage/nobody").status_code == 404
    assert operator.client.get(f"/admin/usage/{slug}?month=May").status_code == 400


def test_export_has_every_customer_once(operator: Api) -> None:
    books, other = Bookkeeper(AT), Bookkeeper(AT)
    books.book()
    other.book()

    rows = {row["customer"]: row for row in table(operator.client.get(f"/admin/usage/export?month={MONTH}"))}
    listed = operator.client.get(f"/admin/usage/export?month={MONTH}&format=json").json()["data"]

    for each in (books, other):
        row = rows[each.project.tenant.slug]
        assert (row["text_tokens"], row["total_cost"], row["text_cost"]) == ("1204", "0.000272", "0.000272")
    assert len(rows) == len(listed)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 10**7), st.sampled_from(["completed", "client_cancelled", "timed_out"])),
        max_size=6,
    )
)
def test_sums_are_those_of_the_ledger(operator: Api, tasks: list[tuple[int, str]]) -> None:
    books = Bookkeeper(AT)
    for tokens, outcome in tasks:
        books.book(usage={"prompt_tokens": tokens}, outcome=outcome)
    slug = books.project.tenant.slug

    rows = operator.get("usage/summary", tenant=slug, month=MONTH, group_by="outcome").json()["data"]
    month = operator.client.get(f"/admin/usage/{slug}?month={MONTH}").json()

    assert sum(row["amount_micros"] for row in rows) == ledger_of(books)
    assert month["costs"]["total"].replace(".", "").lstrip("0") == str(ledger_of(books) or "")
