"""A tenant that wants its prompts and outputs kept, beside one that does not: of the second nothing is anywhere, of the first
only what is encrypted; it is read back whole, and gone after its time and after the erasure of its end user."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gdpr.scope import COLONY_ROLE
from tests.acceptance.compliance.canaries import Canaries, Place, database, folder, redis_memory, scan
from tests.acceptance.figures import note, scaled
from tests.acceptance.tenants.planted import bug_in, queen
from tests.system import ROOT, System, running

REQUESTS = scaled(400, least=24)
PROGRAMS = ("lib",)  # copies of PostgreSQL and Redis
WAYS = ("answered", "streamed", "completed", "repeated")
USERS = ("alice", "bob", "")
OPEN = bug_in("inference.domain.kept_content", "module.encrypt = lambda key, text, place: text")


class Talking(System):
    """It logs all that it logs."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "RBEE_LOG_LEVEL": "debug"}


@dataclass
class Asked:
    task: str
    user: str
    canary: str
    answer: str


class Customer:
    def __init__(self, system: System, slug: str) -> None:
        self.system, self.slug = system, slug
        system.run("tenant", "create", slug, "--plan", "enterprise")
        self.key = self._key("inference")
        self.officer = self._key("gdpr")
        self.canaries = Canaries()
        self._numbers = itertools.count()

    def _key(self, scope: str) -> str:
        made: Any = self.system.run_json(
            "key", "create", "--tenant", self.slug, "--name", scope, "--scope", scope
        )
        return str(made["key"])

    def ask(self, url: str = "") -> Asked:
        number = next(self._numbers)
        way, user = WAYS[number % len(WAYS)], USERS[number % len(USERS)]
        canary = self.canaries.make(f"{way} {number}")
        body: dict[str, Any] = {"model": "echo", "max_tokens": 40, "metadata": {"of": canary}}
        if user:
            body["user"] = user
        if way == "completed":
            body["prompt"] = f"Say {canary} and {canary}"
        else:
            body["messages"] = [{"role": "user", "content": f"Say {canary} and {canary}"}]
        headers = {"authorization": f"Bearer {self.key}"}
        if way == "streamed":
            body["stream"] = True
        if way == "repeated":
            headers["idempotency-key"] = canary
        path = "completions" if way == "completed" else "chat/completions"
        answer = httpx.post(f"{url or self.system.url}/v1/{path}", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        first = json.loads(answer.text.removeprefix("data: ").splitlines()[0])
        return Asked(str(first["id"]), user, canary, answer.text)

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.system.run("gdpr", *words, "--api-key", self.officer, check=check)

    def told(self, *words: str) -> Any:
        return json.loads(self.cli(*words, "--json").stdout)

    def read(self, task: str) -> httpx.Response:
        return httpx.get(
            f"{self.system.url}/api/v1/tasks/{task}/content",
            headers={"authorization": f"Bearer {self.officer}"},
            timeout=20,
        )

    def kept(self) -> int:
        return int(self.told("content", "show")["tasks"])


class Colony:
    def __init__(self, system: System) -> None:
        self.system = system
        self.settings = system.children("uvicorn")[0].environ()
        self.database_url, self.redis_url = (
            self.settings["RBEE_DATABASE_URL"],
            self.settings["RBEE_REDIS_URL"],
        )
        self.keeping, self.plain = Customer(system, "keeping"), Customer(system, "plain")

    def places(self) -> list[Place]:
        return [
            folder(self.system.data_dir.parent, without=PROGRAMS),
            database(self.database_url),
            redis_memory(self.redis_url),
        ]

    def sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            connection.execute(f"SET ROLE {COLONY_ROLE}")
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def sweep(self) -> None:
        """As beat has a worker do every ten minutes."""
        subprocess.run(
            [sys.executable, "-m", "rbee", "shell", "-c", "from inference.tasks import sweep_content; sweep_content()"],
            env=self.settings, cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def colony() -> Iterator[Colony]:
    with running(business=True, kind=Talking) as system:
        system.run("model", "add", "echo:", "--name", "echo", "--engine", "echo", "--hive", "local", "--free")
        found = Colony(system)
        assert "are kept for 30 days" in found.keeping.cli("content", "set", "--days", "30").stdout
        until(lambda: (found.keeping.ask(), found.keeping.kept())[1] > 0)
        yield found


@pytest.fixture(scope="module")
def asked(colony: Colony) -> list[Asked]:
    """Of the tenant that keeps; as many are asked by the other one."""
    before = colony.keeping.kept()
    made = []
    for _ in range(REQUESTS // 2):
        colony.plain.ask()
        made.append(colony.keeping.ask())
    until(lambda: colony.keeping.kept() >= before + len(made))
    return made


@pytest.mark.timeout(900)
def test_of_one_tenant_nothing_is_anywhere_and_of_the_other_only_what_is_encrypted(
    colony: Colony, asked: list[Asked]
) -> None:
    redis_only = [redis_memory(colony.redis_url)]
    until(
        lambda: not scan(colony.keeping.canaries, redis_only) + scan(colony.plain.canaries, redis_only),
        timeout_s=20,
    )

    hits = {
        customer.slug: scan(customer.canaries, colony.places()) for customer in (colony.keeping, colony.plain)
    }

    assert hits == {"keeping": [], "plain": []}
    assert colony.plain.kept() == 0
    assert colony.sql("SELECT count(DISTINCT tenant_id) FROM inference_keptcontent") == [(1,)]
    read = [colony.keeping.read(each.task).json() for each in asked]
    assert [each["answer"] for each in read] == [each.answer for each in asked]
    assert all(each.canary in one["request"] for each, one in zip(asked, read, strict=True))
    assert colony.plain.read(asked[0].task).status_code == 404
    note("kept content: requests of two tenants", REQUESTS)
    note("kept content: hits in the clear, of both", 0)
    note("kept content: read back whole", f"{len(read)} of {len(asked)}")


def test_a_queen_that_does_not_encrypt_is_found(colony: Colony, tmp_path: Path) -> None:
    before = colony.keeping.kept()
    with queen(colony.system, tmp_path, OPEN) as port:
        made = colony.keeping.ask(f"http://127.0.0.1:{port}")
        until(lambda: colony.keeping.kept() > before)
    hits = scan(colony.keeping.canaries, [database(colony.database_url)])
    colony.sql("DELETE FROM inference_keptcontent WHERE id = %(id)s", id=made.task.rpartition("-")[2])

    assert {hit.where for hit in hits} == {"table inference_keptcontent"}
    note("kept content: planted bug, a row in the clear", "found")


@pytest.mark.timeout(300)
def test_an_end_user_who_is_erased_takes_theirs_along(colony: Colony, asked: list[Asked]) -> None:
    customer = colony.keeping
    theirs = [each for each in asked if each.user == "alice"]
    others = [each for each in asked if each.user != "alice"]
    [(row, key)] = colony.sql(
        "SELECT ciphertext, key_id FROM inference_keptcontent WHERE id = %(id)s",
        id=theirs[0].task.rpartition("-")[2],
    )
    assert holds(colony, row)

    erasure = customer.told("delete", "--subject", "alice", "--yes")["id"]
    until(lambda: customer.told("status", erasure)["state"] == "erased", timeout_s=150)

    assert {customer.read(each.task).status_code for each in theirs} == {404}
    assert {customer.read(each.task).status_code for each in others} == {200}
    assert not holds(colony, row)
    assert (
        colony.sql("SELECT 1 FROM gdpr_subjectkey WHERE id = %(key)s AND destroyed_at IS NULL", key=key) == []
    )
    note("kept content: of an erased end user left", f"0 of {len(theirs)}")


def test_an_export_has_it_and_says_of_whom(colony: Colony, asked: list[Asked], tmp_path: Path) -> None:
    archive = tmp_path / "bob.zip"
    colony.keeping.cli("export", "--subject", "bob", "--output", str(archive))

    with zipfile.ZipFile(archive) as read:
        files = {name: json.loads(read.read(name)) for name in read.namelist() if "/content/" in name}
        table = json.loads(read.read("json/inference.KeptContent.json"))
    bobs = {each.task.rpartition("-")[2]: each for each in asked if each.user == "bob"}
    assert {name.rpartition("/")[2].removesuffix(".json") for name in files} >= set(bobs)
    assert all(bobs[task].canary in files[f"files/content/{task}.json"]["request"] for task in bobs)
    assert len(table) == len(files)
    assert "ciphertext" not in table[0]


def test_it_is_gone_after_its_time_and_all_of_it_when_it_is_turned_off(
    colony: Colony, asked: list[Asked]
) -> None:
    customer = colony.keeping
    old, young, *_ = (each.task for each in asked if each.user == "bob")
    colony.sql(
        "UPDATE inference_keptcontent SET at = at - interval '30 days', expires_at = expires_at - interval '30 days'"
        " WHERE id = %(id)s", id=old.rpartition("-")[2],
    )  # fmt: skip
    assert customer.read(old).status_code == 404, "at once"
    rows = count(colony)
    colony.sweep()
    assert count(colony) == rows - 1
    assert customer.read(young).status_code == 200

    refused = customer.cli("content", "off", "--json", check=False)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    ended = customer.told("content", "off", "--yes")

    assert (ended["deleted"], count(colony)) == (rows - 1, 0)
    assert "are not kept" in customer.cli("content", "show").stdout
    note("kept content: left after its time and after it was turned off", 0)


def holds(colony: Colony, row: bytes) -> bool:
    return any(bytes(row)[:32] in data for _, data in database(colony.database_url)())


def count(colony: Colony) -> int:
    return int(colony.sql("SELECT count(*) FROM inference_keptcontent")[0][0])


def until(probe: Callable[[], Any], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.3)
