"""Keys are replaced while everything runs; nothing that a log may not hold is in one; no process leaves its memory behind.

A real colony in business mode, asked by a customer, a person and a hive all the time while each kind of key is rotated. The
search of the logs is shown to find what a process writes that nobody keeps quiet.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests.acceptance.figures import note, scaled
from tests.system import ROOT, System, running

PASSWORD = "correct horse battery staple"
OWNER = "owner-canary@example.org"
ROTATIONS = scaled(20, least=1)  # of each kind
AT_ONCE = 4
EVERY_S = 0.05
RENEWED_WITHIN_S = 150.0  # the chore begins each minute


@pytest.fixture(scope="module")
def colony() -> Iterator[System]:
    with running(business=True) as system:
        system.run("tenant", "create", "acme", "--plan", "enterprise")
        system.run("user", "create-operator", OWNER, stdin=f"{PASSWORD}\n")
        yield system


def client_of(colony: System, key: str = "", **headers: str) -> httpx.Client:
    sent = {**({"authorization": f"Bearer {key}"} if key else {}), **headers}
    return httpx.Client(base_url=colony.url, headers=sent, timeout=30)


def new_key(colony: System, *scopes: str) -> str:
    arguments = [part for scope in scopes for part in ("--scope", scope)]
    return colony.run("key", "create", "--tenant", "acme", *arguments).stdout.strip().splitlines()[-1]


def log_in(colony: System) -> str:
    with client_of(colony, **{"user-agent": "canary-browser"}) as client:
        answer = client.post("/_allauth/app/v1/auth/login", json={"email": OWNER, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["meta"]["session_token"])


class Load:
    """Whoever asks all the time: tasks, changes by a key, reads by a session."""

    def __init__(self, colony: System) -> None:
        self.inference, self.manage = new_key(colony, "inference"), new_key(colony, "manage")
        self.session = log_in(colony)
        self.colony, self.asked, self.failed = colony, 0, []
        self.stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with httpx.AsyncClient(base_url=self.colony.url, timeout=60) as client:
            tasks = [
                asyncio.create_task(self._ask(client, one)) for one in (self._task, self._change, self._read)
            ]
            tasks += [asyncio.create_task(self._ask(client, self._task)) for _ in range(AT_ONCE - 1)]
            try:
                yield
            finally:
                self.stop.set()
                await asyncio.gather(*tasks)

    async def _ask(self, client: httpx.AsyncClient, how: Any) -> None:
        while not self.stop.is_set():
            try:
                answer = await how(client)
                if answer.is_error:
                    self.failed.append(f"{answer.request.url} {answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            self.asked += 1
            await asyncio.sleep(EVERY_S)

    async def _task(self, client: httpx.AsyncClient) -> httpx.Response:
        body = {"model": "rbee-mini", "messages": [{"role": "user", "content": "What is rbee?"}], "max_tokens": 4,
                "user": "somebody"}  # fmt: skip
        return await client.post("/v1/chat/completions", json=body, headers=_bearer(self.inference))

    async def _change(self, client: httpx.AsyncClient) -> httpx.Response:
        body = {"name": "acme", "industry": f"made at {time.time_ns()}"}
        return await client.patch("/api/v1/tenants/acme", json=body, headers=_bearer(self.manage))

    async def _read(self, client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/api/v1/tenants", headers={"X-Session-Token": self.session})


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def keys_of(colony: System) -> list[dict[str, Any]]:
    rows = colony.run_json("gdpr", "keys", "list")
    assert isinstance(rows, list)
    return rows


def database(colony: System) -> psycopg.Connection[Any]:
    env = next(p for p in colony.children("uvicorn")).environ()
    connection = psycopg.connect(env["RBEE_DATABASE_URL"], autocommit=True)
    connection.execute("SET ROLE rbee_colony")
    return connection


def one(colony: System, query: str) -> int:
    with database(colony) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


async def done(*arguments: str, colony: System) -> str:
    return (await asyncio.to_thread(colony.run, *arguments)).stdout


@pytest.mark.timeout(900)
def test_keys_of_details_and_the_root_secret_are_replaced_under_load(colony: System) -> None:
    load, unused = Load(colony), new_key(colony, "inference")
    subjects = "SELECT count(DISTINCT subject) FROM billing_usageevent WHERE subject <> ''"
    before = keys_of(colony)

    async def rotate() -> float:
        async with load.running():
            for _ in range(ROTATIONS):
                await done("gdpr", "keys", "rotate", colony=colony)
                await done("gdpr", "keys", "rotate", "--secret-key", colony=colony)
            began = time.monotonic()
            while left := [row for row in await asyncio.to_thread(old_keys, colony) if still_needed(row)]:
                assert time.monotonic() - began < RENEWED_WITHIN_S, left
            for row in await asyncio.to_thread(old_keys, colony):
                force = ["--force"] if row["of"] == "secret_key" else []
                if force:
                    refused = await asyncio.to_thread(retire, colony, row)
                    assert refused.returncode == 6, refused.stderr
                    assert "left" in refused.stderr
                retired = await asyncio.to_thread(retire, colony, row, *force)
                assert retired.returncode == 0, retired.stderr
            renewed_s = time.monotonic() - began
            await asyncio.sleep(6)  # beyond what a process remembers of a key
            return renewed_s

    renewed_s = asyncio.run(rotate())
    assert load.failed == []
    note("requests while keys were rotated and retired", f"{load.asked}, 0 failed, {2 * ROTATIONS} rotations")
    note("everything under the newest keys", f"{renewed_s:.1f} s after the last rotation")
    assert one(colony, subjects) == 1, "the same end user has one pseudonym"
    assert not {row["id"] for row in before} & {row["id"] for row in keys_of(colony)}
    with client_of(colony, unused) as client:
        assert client.get("/v1/models").status_code == 401, "it was given up with its root secret"


def old_keys(colony: System) -> list[dict[str, Any]]:
    """The oldest first."""
    return [
        row for row in reversed(keys_of(colony)) if not row["is_newest"] and row["id"].split(":")[0] != "root"
    ]


def still_needed(row: dict[str, Any]) -> bool:
    """But for the key that nobody uses."""
    held = dict(row["holders"])
    if held.get("API keys") == 1:
        del held["API keys"]
    return bool(held)


def retire(colony: System, row: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    return colony.run("gdpr", "keys", "retire", row["id"], "--yes", *options, check=False)


def test_details_are_shown_to_whom_they_concern_and_that_is_recorded(colony: System) -> None:
    colony.run("tenant", "suspend", "acme", "--reason", "canary reason of a person", "--yes")
    colony.run("tenant", "resume", "acme")
    entry = colony.run_json("audit", "search", "--event", "tenant.suspended", "--limit", "1")[0]  # type: ignore[index]
    assert "canary" not in str(entry)
    shown = colony.run("audit", "show", entry["id"], "--details").stdout
    assert "canary reason of a person" in shown
    assert "127.0.0.1" in shown
    read = colony.run_json("audit", "search", "--event", "audit.details_read", "--limit", "1")[0]  # type: ignore[index]
    assert read["about"] == f"audit_entry:{entry['id'].replace('-', '')}"
    key = new_key(colony, "manage")
    with client_of(colony, key) as tenant:
        assert tenant.get(f"/api/v1/audit/{entry['id']}").status_code == 200
        assert tenant.get(f"/api/v1/audit/{entry['id']}?details=true").status_code == 403
        own = tenant.get("/api/v1/audit?event=tenant.created").json()["data"][0]["id"]
        assert tenant.get(f"/api/v1/audit/{own.replace(own[:4], 'ffff')}").status_code == 404
    log_in(colony)
    login = colony.run_json("audit", "search", "--event", "account.logged_in", "--limit", "1")[0]  # type: ignore[index]
    assert "canary-browser" in colony.run("audit", "show", login["id"], "--details").stdout


CANARIES = {
    "key": "rbee_live_CANARYKEY012_CanaryCanaryCanaryCanaryCanary12_0aB1cD",
    "mail": "canary.person@example.org",
    "stripe": "sk_live_CanaryCanaryCanary",
    "bearer": "CanaryBearerToken0123456789",
    "password": "canary-password-in-a-url",
    "prompt": "the canary sings of a prompt",
}
FOUND = re.compile("CanaryCanary|canary\\.person|CanaryBearer|canary-password|canary sings")


@pytest.mark.timeout(300)
def test_no_log_of_any_process_holds_a_secret_an_address_or_a_prompt(colony: System, tmp_path: Path) -> None:
    asked = drive(colony)
    logs = [path for path in colony.data_dir.rglob("*") if path.is_file() and ".log" in path.name]
    assert {"queen.log", "celery-worker.log", "celery-beat.log", "hive.log", "manage.log"} <= {
        p.name for p in logs
    }
    held = {
        path.name: FOUND.findall(path.read_text(errors="replace"))
        for path in [*logs, colony.data_dir.parent / "up.log"]
    }
    assert {name: found for name, found in held.items() if found} == {}
    note("canaries in logs", f"0 in {len(held)} logs, after {asked} requests and commands that held some")

    # The search finds them where a process is not kept quiet.
    loud = tmp_path / "queen.log"
    said = "import logging; logging.error('%s %s', *{})".format(repr((CANARIES["key"], CANARIES["mail"])))
    with loud.open("wb") as output:
        subprocess.run([sys.executable, "-c", said], stderr=output, check=True)
    assert len(FOUND.findall(loud.read_text())) >= 2


def drive(colony: System) -> int:
    """Every way in, also those that fail."""
    asked = 0
    mail, prompt = CANARIES["mail"], CANARIES["prompt"]
    good = new_key(colony, "inference", "manage")
    for key in (CANARIES["key"], CANARIES["stripe"], CANARIES["bearer"], good):
        with client_of(colony, key) as client:
            for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/v1/keys", "/api/v1/members",
                         "/api/v1/invitations", "/api/v1/tenants", "/gdpr/keys/rotate", "/stripe/webhook", "/hive/v1/join",
                         f"/nowhere/{mail}", f"/api/v1/tenants/{mail}"):  # fmt: skip
                for body in ({"model": "rbee-mini", "messages": [{"role": "user", "content": prompt}], "user": mail},
                             {"email": mail, "password": CANARIES["password"], "name": mail, "role": "viewer"},
                             {"model": prompt, "messages": [{"role": prompt}], "token": CANARIES["key"]}):  # fmt: skip
                    client.post(path, json=body, params={"email": mail, "api_key": CANARIES["bearer"]})
                    asked += 1
                client.post(
                    path,
                    content=f'{{"broken": "{prompt} {mail} {key}',
                    headers={"content-type": "text/plain"},
                )
                client.get(
                    path,
                    headers={"cookie": f"rbee_session={CANARIES['bearer']}", "user-agent": f"{mail} {key}"},
                )
                asked += 2
            for path in ("login", "signup", "password/request"):
                client.post(
                    f"/_allauth/app/v1/auth/{path}", json={"email": mail, "password": CANARIES["password"]}
                )
                asked += 1
    wrong = colony.environment() | {"RBEE_API_KEY": CANARIES["key"]}
    for arguments in (
        ["status"],
        ["chat", prompt],
        ["key", "create", "--tenant", mail],
        ["tenant", "show", mail],
    ):
        subprocess.run([sys.executable, "-m", "rbee_cli", *arguments], env=wrong | {"PYTHONPATH": f"{ROOT}:{ROOT}/platform"},
                       cwd=colony.home, capture_output=True, check=False)  # fmt: skip
        asked += 1
    colony.run("tenant", "create", "acme", "--plan", mail, check=False)
    with client_of(colony, colony.operator_key) as operator:  # PostgreSQL refuses it, and could quote it
        again = operator.post("/api/v1/tenants", json={"slug": "acme", "plan": "free", "name": mail})
    assert again.status_code == 409
    return asked + 2


def test_no_process_leaves_its_memory_on_a_disk(colony: System) -> None:
    assert colony.process is not None
    processes = [psutil.Process(colony.process.pid), *colony.children()]
    names = {" ".join(process.cmdline())[:60] for process in processes}
    assert len(names) >= 7, names
    allowed = {
        " ".join(process.cmdline())[:60]: core_limits(process)
        for process in processes
        if process.is_running()
    }
    assert set(allowed.values()) == {("0", "0")}, allowed
    note("processes without core dumps", len(processes))


def core_limits(process: psutil.Process) -> tuple[str, ...]:
    """Soft and hard. From a file that all may read: of another user's process the kernel says it to few."""
    lines = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    return tuple(next(line for line in lines if line.startswith("Max core file size")).split()[4:6])
