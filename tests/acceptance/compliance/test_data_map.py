"""The data map against a colony that works: every column says all, and no key, file or queue of it is unknown or lives longer
than it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import redis
from django.apps import apps

from gdpr import data_map, registry, source_check
from gdpr.places import Kind, Lifetime, find, places
from gdpr.registry import PrivacyClass
from tests.acceptance.figures import note, scaled
from tests.system import System, running

SLACK_S = 2  # between two looks at a key
PROMPT = "canary-of-the-data-map"


@dataclass
class Seen:
    """`wrong`: one line for each key that nobody declared, or that lives longer than it says."""

    families: set[str] = field(default_factory=set)
    keys: int = 0
    wrong: set[str] = field(default_factory=set)

    def look(self, client: redis.Redis) -> None:
        for raw in client.scan_iter(count=1000):
            name = raw.decode("utf-8", "replace")
            left_ms = int(client.pttl(raw))
            if left_ms == -2:  # gone meanwhile
                continue
            self.keys += 1
            self.judge(name, left_ms)

    def judge(self, name: str, left_ms: int) -> None:
        place = find(Kind.KEY, name)
        if place is None:
            self.wrong.add(f"{name} is not in the data map")
            return
        self.families.add(place.name)
        if isinstance(place.lasts, Lifetime):
            return
        if left_ms == -1:
            self.wrong.add(f"{name} never ends, and says {place.retention}")
        elif left_ms > (place.lasts + SLACK_S) * 1000:
            self.wrong.add(f"{name} ends in {left_ms} ms, and says {place.retention}")


@pytest.fixture(scope="module")
def colony() -> Iterator[System]:
    with running(business=True) as system:
        yield system


@pytest.fixture(scope="module")
def traffic(colony: System) -> Seen:
    """Requests of every kind that leaves something in Redis, and a look at all of it while they run."""
    colony.run("tenant", "create", "mapped", "--plan", "pro")
    colony.run("limit", "set", "tenant", "mapped", "tokens_per_day=1000000", "concurrent_tasks=8")
    key = colony.run_json("key", "create", "--tenant", "mapped", "--name", "load")["key"]
    client = redis_of(colony)
    seen, over = Seen(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.look(client)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with httpx.Client(
            base_url=colony.url, headers={"authorization": f"Bearer {key}"}, timeout=120
        ) as http:
            for number in range(scaled(400, least=8)):
                ask(http, number)
            http.get("/v1/models", headers={"authorization": "Bearer rbee_live_wrong"})
        httpx.post(
            f"{colony.url}/_allauth/app/v1/auth/login", json={"email": "a@example.org", "password": "x"}
        )
    finally:
        over.set()
        watching.join()
    seen.look(client)
    return seen


def ask(http: httpx.Client, number: int) -> None:
    body = {
        "model": "rbee-mini", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 4,
        "stream": number % 2 == 0, "user": f"person-{number % 3}",
    }  # fmt: skip
    answer = http.post(
        "/v1/chat/completions", json=body, headers={"idempotency-key": f"map-{number // 2}-{number % 2}"}
    )
    assert answer.status_code == 200, answer.text


def redis_of(system: System) -> redis.Redis:
    configuration = (system.data_dir / "redis" / "redis.conf").read_text()
    said = dict(line.split(" ", 1) for line in configuration.splitlines())
    return redis.Redis(port=int(said["port"]), password=said["requirepass"])


def test_every_column_says_all_there_is_to_say() -> None:
    columns = [
        (model, name)
        for model in apps.get_models(include_auto_created=True)
        for name in registry.columns_of(model)
    ]
    mapped = [(each.model, column.name) for each in data_map.holdings() for column in each.columns()]

    note("data map: columns classified", f"{100 * len(mapped) / len(columns):.1f} % of {len(columns)}")
    assert set(mapped) == set(columns)
    assert [*registry.findings(), *data_map.findings(), *source_check.findings()] == []


def test_every_key_of_a_colony_under_load_is_declared_and_ends_when_it_says(traffic: Seen) -> None:
    note("data map: keys in Redis looked at", traffic.keys)
    note("data map: families of keys seen", f"{len(traffic.families)} of {len(places(Kind.KEY))}")
    note("data map: keys unknown or too long", len(traffic.wrong))
    assert traffic.wrong == set()
    content = {place.name for place in places(Kind.KEY) if place.privacy is PrivacyClass.CONTENT}
    assert traffic.families & content, "no request was seen on its way"
    assert len(traffic.families) >= 10


def test_every_queue_is_declared(colony: System, traffic: Seen) -> None:
    client = redis_of(colony)
    bound = {key.decode().rpartition("_kombu.binding.")[2] for key in client.scan_iter("*_kombu.binding.*")}

    assert bound
    assert {name for name in bound if find(Kind.QUEUE, name) is None} == set()


def test_every_file_of_a_colony_is_declared(colony: System, traffic: Seen) -> None:
    files = [path.relative_to(colony.data_dir).as_posix() for path in files_below(colony.data_dir)]
    unknown = [name for name in files if find(Kind.FILE, name) is None]

    note("data map: files unknown", f"{len(unknown)} of {len(files)}")
    assert unknown == []


def test_no_prompt_is_in_a_file_that_is_said_to_hold_none(colony: System, traffic: Seen) -> None:
    holding = [
        path.relative_to(colony.data_dir).as_posix()
        for path in files_below(colony.data_dir)
        if PROMPT.encode() in path.read_bytes()
    ]

    assert holding == []


@pytest.mark.parametrize(
    ("name", "left_ms", "said"),
    [
        ("rbee:planted:x", 1000, "not in the data map"),
        ("rbee:lim:x:planted", 1000, "not in the data map"),
        ("rbee:idem:x:y:answer", -1, "never ends"),
        ("rbee:idem:x:y:answer", 3_600_000, "says at most 15 minutes"),
    ],
)
def test_planted_key_is_found(name: str, left_ms: int, said: str) -> None:
    seen = Seen()

    seen.judge(name, left_ms)

    assert [said in line for line in seen.wrong] == [True]


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
