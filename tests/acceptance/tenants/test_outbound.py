"""Webhooks of a whole colony: what happens by its API arrives at real receivers, while its Celery worker is killed again and
again, and no URL leads to what listens on the machine itself.

`127.0.0.2` is the world outside, which this operator permits; `127.0.0.1`, where the colony listens, is not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks import Webhook

from tests.acceptance.figures import SEED, note, scaled
from tests.gdpr import ssrf
from tests.system import System, running
from tests.tenants.receiver import Receiver, receiver

OUTSIDE = "127.0.0.2"
SETTLED_S = 180  # a lease, a retry and the sweep after each


class OutwardSystem(System):
    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "RBEE_OUTBOUND_HTTP": "1",
            "RBEE_OUTBOUND_ALLOW": f"{OUTSIDE}/32",
            "RBEE_OUTBOUND_PORTS": "1-65535",
        }


@pytest.fixture(scope="module")
def colony() -> Iterator[System]:
    with running(business=True, kind=OutwardSystem) as system:
        yield system


@pytest.fixture(scope="module")
def api(colony: System) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {colony.operator_key}"}
    with httpx.Client(base_url=f"{colony.url}/api/v1", headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def world() -> Iterator[Receiver]:
    with receiver(OUTSIDE) as found:
        yield found


@pytest.mark.timeout(1800)
def test_nothing_is_lost_while_workers_die(colony: System, api: httpx.Client, world: Receiver) -> None:
    chance = random.Random(SEED)
    count, kills = scaled(3000, least=60), scaled(10, least=3)
    api.post("/tenants", json={"slug": "acme", "plan": "enterprise"}).raise_for_status()
    secrets = {}
    for path in ("/ok/tenant", "/once", "/stall", "/redirect"):
        body = {"url": world.url + path, "tenant": "acme", "events": ["key.*"], "max_in_flight": 8}
        secrets[path] = api.post("/webhooks", json=body).raise_for_status().json()["secret"]
    operators = {"url": f"{world.url}/ok/operator", "events": ["key.created"], "max_in_flight": 8}
    secrets["/ok/operator"] = api.post("/webhooks", json=operators).raise_for_status().json()["secret"]
    gone = (
        api.post("/webhooks", json={"url": f"{world.url}/gone", "tenant": "acme"})
        .raise_for_status()
        .json()["id"]
    )

    happened: list[str] = []
    killed = 0
    with receiver("127.0.0.1") as inside, ThreadPoolExecutor(1) as threads:
        world.redirect_to = f"{inside.url}/ok"

        def make_keys() -> None:
            while len(happened) < count or killed < kills:
                body = {"tenant": "acme", "name": "a key"}
                happened.append(api.post("/keys", json=body).raise_for_status().json()["id"])
                time.sleep(0 if len(happened) < count else 0.5)

        making = threads.submit(make_keys)
        while killed < kills:
            # One that is at work, so that something is in the air.
            before = len(world.got)
            while len(world.got) == before:
                assert not making.done() or making.exception() is None
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.5))
            for worker in colony.children("celery", "worker"):
                worker.kill()
            killed += 1
        making.result()
        expected = {path: set(happened) for path in ("/ok/tenant", "/once", "/ok/operator")}
        deadline = time.monotonic() + SETTLED_S + len(happened) / 20
        while (
            any(keys_of(world, path) != keys for path, keys in expected.items())
            and time.monotonic() < deadline
        ):
            time.sleep(0.5)

    lost = sum(len(keys - keys_of(world, path)) for path, keys in expected.items())
    accepted = [request for request in world.got if request.path in expected]
    distinct = {(request.path, request.id) for request in accepted}
    note("webhooks: events", len(happened))
    note("webhooks: workers killed", killed)
    note("webhooks: deliveries accepted", len(accepted))
    note("webhooks: duplicates", len(accepted) - len(distinct))
    note("webhooks: lost", lost)
    assert lost == 0
    assert all(keys_of(world, path) <= keys for path, keys in expected.items())
    for request in accepted:
        # The library's `verify` refuses what came more than five minutes ago.
        sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        signature = Webhook(secrets[request.path]).sign(request.id, sent_at, request.body.decode())
        assert request.headers["webhook-signature"] == signature
        assert abs(sent_at.timestamp() - request.at) < 60
    assert inside.seen == []
    assert api.get(f"/webhooks/{gone}").json()["status"] == "disabled"
    assert Counter(request.path for request in world.seen)["/gone"] <= 8 + killed


def test_hint_delivers_at_once_beside_an_endpoint_that_stalls(
    colony: System, api: httpx.Client, world: Receiver
) -> None:
    """In the colony of the test before, whose stalled endpoint has a backlog."""
    count = scaled(200, least=20)
    wait_for_worker(api, world)
    before = len(world.ids("/ok/tenant"))
    for _ in range(count):
        api.post("/keys", json={"tenant": "acme", "name": "a key"}).raise_for_status()
        time.sleep(0.05)
    deadline = time.monotonic() + 60
    while len(world.ids("/ok/tenant")) < before + count:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    requests = [request for request in world.got if request.path == "/ok/tenant"][-count:]
    delays_s = sorted(
        request.at - datetime.fromisoformat(request.message["created_at"]).timestamp() for request in requests
    )
    note("webhooks: from event to receiver, p50 / p99 ms",
         f"{delays_s[count // 2] * 1000:.0f} / {delays_s[int(count * 0.99)] * 1000:.0f}")  # fmt: skip
    assert delays_s[count // 2] < 2  # the sweep alone would take 7


def test_command_line_tells_what_came_of_a_test(colony: System, world: Receiver) -> None:
    good = colony.run_json("webhook", "create", f"{world.url}/ok/cli", "--event", "policy.*")
    bad = colony.run_json("webhook", "create", f"{world.url}/status/503", "--event", "policy.*")
    assert isinstance(good, dict)
    assert isinstance(bad, dict)

    assert "accepted: HTTP 204" in colony.run("webhook", "test", good["id"]).stdout
    refused = colony.run("webhook", "test", bad["id"], check=False)
    assert (refused.returncode, refused.stderr) == (1, "rbee: the endpoint did not accept it: HTTP 503\n")
    assert "webhook.ping" in colony.run("webhook", "deliveries", good["id"]).stdout
    colony.run("webhook", "pause", good["id"])
    assert colony.run("webhook", "test", good["id"], check=False).returncode == 6
    colony.run("webhook", "resume", good["id"])
    assert (
        colony.run_json("webhook", "replay", good["id"], "--since", "2026-01-01T00:00:00Z", "--all")["queued"]
        >= 0
    )
    assert colony.run("webhook", "rotate", good["id"]).stdout.startswith("whsec_")
    assert good["id"] in colony.run("webhook", "list").stdout
    assert colony.run_json("webhook", "delete", good["id"], "--yes") == {"deleted": good["id"]}
    assert colony.run("webhook", "show", good["id"], check=False).returncode == 5
    assert colony.run("webhook", "create", "http://10.0.0.1/", check=False).returncode == 2


def test_no_webhook_reaches_the_colony_itself(colony: System, api: httpx.Client) -> None:
    """Through the front door: what is not refused when it is created is refused when it is called."""
    with receiver("127.0.0.1") as inside:
        port = int(inside.url.rpartition(":")[2])
        urls = [f"http://{host}:{port}/ok" for host in ("localhost", "LOCALHOST.", "ip6-localhost", "127.0.0.1", "127.1",
                "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "①②⑦.0.0.1")]  # fmt: skip
        urls.append(f"http://localhost:{colony.port}/api/v1/keys")
        refused = called = 0
        for url in urls:
            made = api.post("/webhooks", json={"url": url, "events": ["webhook.disabled"]})
            if made.status_code == 400:
                refused += 1
                continue
            webhook = made.raise_for_status().json()["id"]
            delivery = api.post(f"/webhooks/{webhook}/test").raise_for_status().json()
            deadline = time.monotonic() + 60
            while not delivery["log"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
                delivery = api.get(f"/webhooks/{webhook}/deliveries/{delivery['id']}").json()
            assert delivery["log"][0]["error"] == "no_public_address"
            api.delete(f"/webhooks/{webhook}")
            called += 1

        assert (refused + called, inside.seen) == (len(urls), [])
        assert called >= 2

    cases, hits = asyncio.run(ssrf.attack(ssrf.guarded))
    _, naive = asyncio.run(ssrf.attack(ssrf.naive))
    note("SSRF: cases / hits / hits of a naive fetcher", f"{cases + len(urls)} / {len(hits)} / {len(naive)}")
    assert hits == []


def keys_of(world: Receiver, path: str) -> set[str]:
    return {request.message["data"]["key"] for request in world.got if request.path == path}


def wait_for_worker(api: httpx.Client, world: Receiver) -> None:
    """Until the worker that was killed last is up again."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        before = len(world.got)
        api.post("/keys", json={"tenant": "acme", "name": "a key"}).raise_for_status()
        time.sleep(2)
        if len(world.got) > before:
            return
    raise AssertionError("no worker delivers")
