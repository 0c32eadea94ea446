"""A busy colony's books agree, and each row that is changed behind their back is found, named and explained.

Tasks run against a real engine while clients leave at random; then rows are changed by the owner of the tables, with the
triggers off that would refuse it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from rbee_cli.up.postgres import Postgres
from tests.acceptance.core.test_settlement import ask, database_url, usage_events, wait_for
from tests.acceptance.figures import SEED, note, scaled
from tests.system import System, running

TASKS = scaled(2000, least=60)
ROWS = scaled(1_000_000, least=20_000)
GROWTH_MIB = 200
TABLES = ("billing_usageevent", "billing_ledgertransfer")


@pytest.fixture(scope="module")
def colony() -> Iterator[System]:
    with running(business=True) as system:
        system.run(
            "model",
            "add",
            "builtin:rbee-mini",
            "--name",
            "priced",
            "--input-price",
            "1",
            "--output-price",
            "2",
        )
        key = system.run_json("key", "create", "--name", "load")["key"]
        be_busy(system, key)
        yield system


def be_busy(system: System, key: str) -> None:
    left = list(range(TASKS))

    def client(seed: int) -> None:
        own = random.Random(seed)
        while left:
            left.pop()
            ask(system, key, own)

    clients = [threading.Thread(target=client, args=(SEED + place,)) for place in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    # Those that a client left at once may never have begun: what is booked does not grow any more.
    wait_for(lambda: is_still(system))


def is_still(system: System) -> bool:
    before = len(usage_events(system))
    time.sleep(2)
    return 0 < before == len(usage_events(system))


def reconcile(system: System, *, code: int) -> dict[str, Any]:
    done = system.run(
        "billing",
        "reconcile",
        "--day",
        f"{datetime.now(UTC):%Y-%m-%d}",
        "--json",
        check=False,
        timeout_s=3000,
    )
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.timeout(3000)
def test_books_of_a_busy_colony_agree(colony: System) -> None:
    events = usage_events(colony)

    report = reconcile(colony, code=0)

    note("tasks reconciled", report["figures"]["tasks"])
    note("differences on a healthy colony", report["differences"])
    assert report["figures"]["tasks"] == report["figures"]["transfers"] == len(events) > TASKS / 3
    assert report["figures"]["receipts"] > TASKS / 3
    assert (report["differences"], report["rows"], report["waiting"]) == (0, [], {})
    booked = sum(int(event["amount"]) for event in events.values())
    month = f"{datetime.now(UTC):%Y-%m}"
    sums = colony.run_json("usage", "--month", month, "--by", "model,outcome")
    assert sum(row["amount_micros"] for row in sums) == booked > 0
    lines = colony.run("usage", "--csv").stdout.splitlines()
    assert len(lines) == len(events) + 1
    explained = colony.run_json(
        "billing", "explain", next(task for task, one in events.items() if one["amount"])
    )
    assert explained["receipt"]["signed"] is True
    assert explained["differences"] == []


@pytest.mark.timeout(3000)
def test_a_day_of_many_tasks_takes_no_more_memory(colony: System) -> None:
    fill(colony)
    before = resident_mib(colony)
    began = time.monotonic()

    report = reconcile(colony, code=0)

    seconds, growth = time.monotonic() - began, resident_mib(colony) - before
    note("rows of a day that was compared", report["figures"]["tasks"])
    note("seconds for them", f"{seconds:.1f}")
    note("MiB that the queen grew by", growth)
    assert report["figures"]["tasks"] > ROWS
    assert growth < GROWTH_MIB


@pytest.mark.timeout(3000)
def test_every_row_that_is_changed_behind_the_books_back_is_found(colony: System) -> None:
    charged = [
        task
        for task, event in usage_events(colony).items()
        if event["outcome"] == "completed" and event["amount"]
    ]
    planted = dict(zip(PLANTED, charged, strict=False))
    for name, task in planted.items():
        change(colony, PLANTED[name][0], task)

    report = reconcile(colony, code=1)

    found: dict[str, set[str]] = {}
    for row in report["rows"]:
        if row["task"]:
            found.setdefault(row["task"].replace("-", ""), set()).add(row["kind"])
    assert found == {task: PLANTED[name][1] for name, task in planted.items()}
    assert Counter(row["kind"] for row in report["rows"] if not row["task"]) == {"balance": 1}
    for row in report["rows"]:
        explained = colony.run_json("billing", "explain", "--difference", row["id"])
        named = json.dumps(explained).replace("-", "")
        if row["task"]:
            assert row["task"].replace("-", "") in named
        else:  # down to the tasks whose money is not what it was
            assert all(planted[name] in named for name in ("ledger amount", "no ledger", "event amount"))
    alerts = colony.run_json("alert", "list")
    assert [row["kind"] for row in alerts] == ["reconciliation"]
    note("kinds of changes planted and found", len(planted))


PLANTED = {
    "usage": ("UPDATE billing_usageevent SET usage = usage || '{\"engine_ms\": 7777777}' WHERE task_id = %s", {"receipt_facts"}),
    "outcome": ("UPDATE billing_usageevent SET outcome = 'client_cancelled' WHERE task_id = %s", {"receipt_facts"}),
    "hive": ("UPDATE billing_usageevent SET hive_id = gen_random_uuid() WHERE task_id = %s", {"receipt_signature"}),
    "signature": ("UPDATE billing_usageevent SET signature = '\\x00' WHERE task_id = %s", {"receipt_signature"}),
    "receipt": ("UPDATE billing_usageevent SET receipt = '' WHERE task_id = %s", {"receipt_missing"}),
    "request": ("UPDATE billing_usageevent SET request_id = 'x' WHERE task_id = %s", {"envelope"}),
    "event amount": ("UPDATE billing_usageevent SET amount_micros = amount_micros + 1 WHERE task_id = %s",
                     {"event_amount", "transfer_amount"}),
    "ledger amount": ("UPDATE billing_ledgertransfer SET amount_micros = amount_micros - 1 WHERE id = %s", {"transfer_amount"}),
    "ledger account": ("UPDATE billing_ledgertransfer SET credit_account = 'credits' WHERE id = %s", {"transfer_accounts"}),
    "no ledger": ("DELETE FROM billing_ledgertransfer WHERE id = %s", {"transfer_missing"}),
    "no event": ("DELETE FROM billing_usageevent WHERE task_id = %s", {"event_missing"}),
}  # fmt: skip


def change(system: System, statement: str, task: str) -> None:
    """As the owner of the tables, who has the triggers off that refuse it."""
    with owner(system) as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        assert connection.execute(statement, [task]).rowcount == 1
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def fill(system: System) -> None:
    """Tasks that no hive reported, charged nothing: as many as a large colony has."""
    with owner(system) as connection:
        for table, column in (("billing_usageevent", "task_id"), ("billing_ledgertransfer", "id")):
            columns = [
                row[0] for row in connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1", [table]
                )
            ]  # fmt: skip
            changed = CHANGED | {column: "n.id"}
            values = ", ".join(changed.get(name, f"e.{name}") for name in columns)
            connection.execute(
                "CREATE TEMP TABLE IF NOT EXISTS fresh AS SELECT (left(task_id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid AS id"
                f" FROM (SELECT task_id FROM billing_usageevent LIMIT 1) e, generate_series(1, {ROWS}) n"
            )
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM fresh n, (SELECT * FROM {table} LIMIT 1) e"
            )


CHANGED = {
    "transaction_id": "n.id", "usage": "'{}'::jsonb", "amount_micros": "0", "outcome": "'worker_failed'",
    "receipt": "''::bytea", "signature": "''::bytea",
}  # fmt: skip


def owner(system: System) -> psycopg.Connection[Any]:
    url = database_url(system)
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE rbee_colony")
        row = connection.execute("SELECT tenant_id FROM billing_usageevent LIMIT 1").fetchone()
    assert row is not None
    server = Postgres(system.data_dir)
    server.port = urlsplit(url).port or 0
    connection = psycopg.connect(server.owner_url)
    connection.execute("SELECT set_config('app.tenant', %s, false)", [str(row[0])])
    return connection


def resident_mib(system: System) -> int:
    return (
        max(child.memory_info().rss for child in system.children("uvicorn") if psutil.pid_exists(child.pid))
        >> 20
    )
