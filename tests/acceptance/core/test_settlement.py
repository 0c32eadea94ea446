"""What the engine counted, what the hive signed and what the queen booked are the same, whatever dies.

Tasks run against a real model on two hives while clients leave at random and real processes get SIGKILL: the agent of a
hive, its engine, the Celery worker that runs the tasks, the queen, Redis. Then every line in the engines' logs must have
exactly one usage event and one ledger transfer; completed and cancelled tasks with equal counts, all others charged 0.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from tests.acceptance.figures import SEED, note, scaled
from tests.system import JoinedHive, System, running

GRACE_S = 60
LINE = re.compile(
    r"task=(?P<task>\w+) attempt=(?P<attempt>\d+) endpoint=\S+ outcome=(?P<outcome>\w+) "
    r"prompt_tokens=(?P<prompt>\d+) cached_tokens=(?P<cached>\d+) completion_tokens=(?P<completion>\d+)"
)
VICTIMS = {
    "hive agent": ("hive_agent", " run"),
    "engine": ("hive_agent.engines",),
    "runner": ("hive_agent.tasks",),
    "queen": ("uvicorn",),
    "Redis": ("redis-server",),
}


@dataclass(frozen=True)
class Counted:
    outcome: str
    prompt: int
    completion: int


@pytest.fixture(scope="module")
def colony() -> Iterator[tuple[System, str]]:
    with running(business=True) as system:
        second = JoinedHive(system, "second", region="EU")
        try:
            wait_for(lambda: any(row["name"] == "second" for row in system.run_json("hive", "list")))
            system.run("model", "add", "builtin:rbee-mini", "--name", "priced", "--input-price", "1", "--output-price", "2",
                       "--hive", "local", "--hive", "second")  # fmt: skip
            yield system, system.run_json("key", "create", "--name", "load")["key"]
        finally:
            second.stop()


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_books_equal_the_engines_whatever_dies(colony: tuple[System, str]) -> None:
    system, key = colony
    total = scaled(1000, least=120)
    kills = scaled(20, least=5)
    chance = random.Random(SEED)
    killed: Counter[str] = Counter()
    done = threading.Event()
    killer = threading.Thread(target=kill_at_random, args=(system, random.Random(SEED + 1), kills, killed))
    answers: Counter[str] = Counter()
    lock = threading.Lock()
    left = [total]

    def client(seed: int) -> None:
        own = random.Random(seed)
        while True:
            with lock:
                if left[0] <= 0 and done.is_set():
                    return
                left[0] -= 1
            outcome = ask(system, key, own)
            with lock:
                answers[outcome] += 1

    killer.start()  # clients go on until it is done
    clients = [threading.Thread(target=client, args=(chance.random(),)) for _ in range(8)]
    for one in clients:
        one.start()
    killer.join()
    done.set()
    for one in clients:
        one.join()
    system.wait_ready(60)

    engines = wait_for(lambda: settled(system), timeout_s=GRACE_S)
    events = usage_events(system)
    differences = [
        (task, counted, events[task])
        for (task, attempt), counted in engines.items()
        if events[task]["attempt"] == attempt
        and events[task]["outcome"] in {"completed", "client_cancelled"}
        and (events[task]["prompt_tokens"], events[task]["completion_tokens"])
        != (counted.prompt, counted.completion)
    ]
    charged_failures = [
        event
        for event in events.values()
        if event["outcome"] not in {"completed", "client_cancelled"} and event["amount"]
    ]
    wrong_amounts = [
        event
        for event in events.values()
        if event["outcome"] in {"completed", "client_cancelled"}
        and event["amount"] != event["prompt_tokens"] + 2 * event["completion_tokens"]
    ]

    note("tasks sent while processes were killed", total - left[0])
    note("processes killed", dict(sorted(killed.items())))
    note("what clients saw", dict(sorted(answers.items())))
    note("usage events by outcome", dict(Counter(str(event["outcome"]) for event in events.values())))
    note("tasks that an engine began", len({task for task, _ in engines}))
    note("differences between engine and usage event", len(differences))
    note("failed tasks that were charged", len(charged_failures))
    assert sum(killed.values()) >= kills
    assert differences == []
    assert charged_failures == []
    assert wrong_amounts == []
    outcomes = Counter(str(event["outcome"]) for event in events.values())
    assert outcomes["completed"] > total / 4
    assert outcomes["client_cancelled"] > 0
    if kills >= 20:  # fewer may all hit an idle moment
        assert outcomes["worker_failed"] + outcomes["platform_failed"] > 0


def test_an_unbooked_task_is_noticed(colony: tuple[System, str]) -> None:
    """The comparison above is able to fail."""
    system, key = colony
    ask(system, key, random.Random(SEED))
    engines = wait_for(lambda: settled(system), timeout_s=GRACE_S)
    events = usage_events(system)
    missing = dict(events)
    missing.pop(next(task for task, _ in engines))

    assert unbooked(engines, events) == set()
    assert len(unbooked(engines, missing)) == 1


def ask(system: System, key: str, chance: random.Random) -> str:
    """One client: streaming or not, and in two of five cases gone after a random time."""
    body = {
        "model": "priced",
        "stream": chance.random() < 0.6,
        "max_tokens": chance.choice([1, 30, 200, 400]),
        "ignore_eos": True,  # the engine's own word for: go on until max_tokens
        "messages": [
            {"role": "user", "content": chance.choice(["What is rbee?", "What is a hive?", "Who are you?"])}
        ],
    }
    leaves_after_s = chance.choice([None, None, None, chance.uniform(0.001, 0.05), chance.uniform(0.02, 0.3)])
    timeout = httpx.Timeout(60, read=leaves_after_s or 60)
    try:
        with httpx.Client(timeout=timeout) as client:
            with client.stream(
                "POST",
                f"{system.url}/v1/chat/completions",
                json=body,
                headers={"authorization": f"Bearer {key}"},
            ) as answer:
                began = time.monotonic()
                text = b""
                for piece in answer.iter_raw():
                    text += piece
                    if leaves_after_s and time.monotonic() - began > leaves_after_s:
                        return "left"
                if answer.status_code != 200:
                    time.sleep(0.3)
                    return f"HTTP {answer.status_code}"
                return "error in stream" if b'"error"' in text else "answered"
    except httpx.ReadTimeout:
        return "left"
    except httpx.HTTPError as error:
        time.sleep(0.3)
        return type(error).__name__


def kill_at_random(system: System, chance: random.Random, kills: int, killed: Counter[str]) -> None:
    names = [name for _ in range(kills) for name in VICTIMS][:kills]
    chance.shuffle(names)
    for name in names:
        time.sleep(chance.uniform(0.5, 1.5))
        victims = []
        while not victims:
            victims = list(system.children(*VICTIMS[name]))
            time.sleep(0.1)
        try:
            chance.choice(victims).kill()
        except psutil.NoSuchProcess:
            continue
        killed[name] += 1
        if name in {"queen", "Redis"}:
            system.wait_ready(60)
        time.sleep(chance.uniform(1, 3))


def settled(system: System) -> dict[tuple[str, int], Counted] | None:
    """What the engines counted, once each of their tasks is booked."""
    engines = counted_by_engines(system.data_dir.parent)
    return engines if not unbooked(engines, usage_events(system)) else None


def unbooked(engines: dict[tuple[str, int], Counted], events: dict[str, dict[str, object]]) -> set[str]:
    return {task for task, _ in engines} - set(events)


def counted_by_engines(folder: Path) -> dict[tuple[str, int], Counted]:
    counted = {}
    for log in folder.rglob("log/engine*.log*"):
        for found in LINE.finditer(log.read_text(errors="replace")):
            counted[found["task"], int(found["attempt"])] = Counted(
                found["outcome"], int(found["prompt"]), int(found["completion"])
            )
    return counted


def usage_events(system: System) -> dict[str, dict[str, object]]:
    """From the database; also proves that no task has two events or a number of transfers but one."""
    query = """
        SELECT replace(e.task_id::text, '-', ''), e.attempt, e.outcome, e.amount_micros,
               coalesce((e.usage->>'prompt_tokens')::int, 0), coalesce((e.usage->>'completion_tokens')::int, 0),
               (SELECT count(*) FROM billing_ledgertransfer t WHERE t.id = e.task_id AND t.kind = 'task')
        FROM billing_usageevent e
    """
    with psycopg.connect(database_url(system)) as connection:
        connection.execute("SET ROLE rbee_colony")
        rows = connection.execute(query).fetchall()
    assert len({row[0] for row in rows}) == len(rows)
    assert [row for row in rows if row[6] != 1] == []
    names = ("task", "attempt", "outcome", "amount", "prompt_tokens", "completion_tokens", "transfers")
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def database_url(system: System) -> str:
    for child in system.children("uvicorn"):
        environment = child.environ()
        return environment["RBEE_DATABASE_URL"]
    raise AssertionError("no queen")


def wait_for(probe, *, timeout_s: float = 60):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.5)
    raise AssertionError("it did not happen in time")
