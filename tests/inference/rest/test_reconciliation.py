"""Reports of the books over REST, who may see them, and what hives still hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing.reconciliation_models import ReceiptKey, Reconciliation
from gdpr.ids import uuid7
from hive_agent.protocol import encode
from inference.domain.notices import redis_client
from inference.domain.reconcile import receipts_waiting, reconcile_missed_nights
from tests.factories.books import Bookkeeper
from tests.factories.inference import heartbeat, make_hive
from tests.factories.tenants import make_key
from tests.inference.conftest import Api

AT = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=80)
DAY = f"{AT:%Y-%m-%d}"


def test_report_is_made_kept_and_explained(operator: Api) -> None:
    books = Bookkeeper(AT)
    books.book()
    task_id = books.book(transfer={"amount_micros": 5})

    made = operator.post("billing/reconciliation", {"day": DAY})

    assert made.status_code == 201
    report = made.json()
    (row,) = report["rows"]
    assert (report["differences"], row["kind"], row["task"]) == (1, "transfer_amount", str(task_id))
    assert row["tenant"] == books.project.tenant.slug
    assert operator.get(f"billing/reconciliation/{report['id']}").json() == report
    listed = operator.get("billing/reconciliation", day=DAY).json()["data"]
    assert [each["id"] for each in listed] == [report["id"]]
    explained = operator.get(f"billing/differences/{row['id']}").json()
    assert explained["tenant"] == row["tenant"]
    assert explained["explanation"]["differences"][0]["kind"] == "transfer_amount"
    assert operator.get(f"billing/reconciliation/{uuid7()}").status_code == 404
    assert operator.get(f"billing/differences/{uuid7()}").status_code == 404
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for day in ("yesterday", f"{tomorrow:%Y-%m-%d}"):
        assert operator.post("billing/reconciliation", {"day": day}).status_code == 400


def test_tenant_sees_why_its_own_task_cost_what_it_cost_and_no_more(operator: Api) -> None:
    books, other = Bookkeeper(AT), Bookkeeper(AT)
    mine, theirs = books.book(), other.book()
    customer = Api(make_key(books.project, scopes=["manage"])[1])

    for name in (str(mine), mine.hex, f"chatcmpl-{mine.hex}"):
        found = customer.get(f"billing/tasks/{name}").json()
        assert (found["event"]["amount_micros"], found["receipt"]["signed"], found["differences"]) == (
            272,
            True,
            [],
        )
    absent = customer.get(f"billing/tasks/{uuid7()}")
    foreign = customer.get(f"billing/tasks/{theirs}")
    assert (foreign.status_code, foreign.content) == (404, absent.content)
    assert customer.get("billing/tasks/nothing").status_code == 404
    assert customer.get("billing/reconciliation").status_code == 403
    assert customer.post("billing/reconciliation", {"day": DAY}).status_code == 403


def test_what_hives_have_not_delivered_is_told_beside(operator: Api) -> None:
    busy, idle, away = (make_hive()[0] for _ in range(3))
    for hive, waiting in ((busy, 12), (idle, 0)):
        beat = heartbeat(hive, receipts_waiting=waiting, receipts_refused=waiting // 6)
        redis_client().set(f"{hive.prefix}state", encode(beat), px=30_000)

    report = operator.post("billing/reconciliation", {"day": DAY}).json()

    assert report["waiting"] == {busy.name: {"waiting": 12, "refused": 2}, away.name: {"away": 1}}
    assert receipts_waiting() == report["waiting"]
    assert ReceiptKey.objects.filter(hive_id=busy.id, public_key=busy.public_key).count() == 1


@pytest.mark.usefixtures("operator")
def test_chore_makes_up_for_nights_and_does_each_once() -> None:
    first = reconcile_missed_nights()

    assert [report.day for report in first] == [
        datetime.now(UTC).date() - timedelta(days=back) for back in range(7, 0, -1)
    ]
    assert reconcile_missed_nights() == []
    assert Reconciliation.objects.filter(id__in=[report.id for report in first]).count() == 7
