from __future__ import annotations

import redis
from django.conf import settings
from django.test import Client

from hive_agent import protocol
from tests.factories.inference import heartbeat, join_request, make_hive, make_model
from tests.inference.conftest import Api, audit_events
from tests.inference.hive_side import ask_placements, join, redis_of


def test_machine_joins_with_a_token_and_gets_what_it_is_to_run(home: Api) -> None:
    model = make_model(name="first")
    made = home.post(
        "hives/join-tokens",
        {"region": "EU", "labels": {"gpu_type": "A100", "spot": True}, "models": ["first"]},
    )
    assert made.status_code == 201
    assert made.json()["expires_in_s"] == 600

    joined = join(Client(), join_request(token=made.json()["token"], name="GPU-node-01"))

    assert joined.status_code == 200
    answer = joined.json()
    assert answer["name"] == "gpu-node-01"
    assert answer["redis"]["prefix"] == f"h:{answer['hive']}:"
    assert answer["redis"]["url"] == settings.RBEE.hive_redis_url
    hive = home.get("hives/gpu-node-01").json()
    assert (hive["region"], hive["labels"]) == ("EU", {"gpu_type": "A100", "spot": True})
    assert hive["state"] == "offline"
    placed = ask_placements(Client(), answer["credential"]).json()["placements"]
    assert [(one["model"], one["source"], one["engine"]) for one in placed] == [
        ("first", model.source, "llama_cpp")
    ]
    assert audit_events("hive.") == ["hive.token_created", "hive.joined"]


def test_token_works_once(home: Api) -> None:
    token = home.post("hives/join-tokens").json()["token"]

    first = join(Client(), join_request(token=token, name="a"))
    second = join(Client(), join_request(token=token, name="b"))

    assert first.status_code == 200
    assert second.status_code == 401
    assert second.json()["error"]["code"] == "invalid_join_token"
    assert "rbee hive token" in second.json()["error"]["message"]
    assert [row["name"] for row in home.get("hives").json()["data"]] == ["a"]


def test_removed_hive_is_refused_at_once(home: Api, redis_url: str) -> None:
    hive, answer = make_hive()
    home.post("models", {"source": "builtin:rbee-mini", "hives": [hive.name]})
    assert ask_placements(Client(), answer.credential).status_code == 200
    as_hive = redis_of(answer.redis, redis_url)
    as_hive.set(f"{hive.prefix}state", "x")

    assert home.delete(f"hives/{hive.name.upper()}").status_code == 200

    refused = ask_placements(Client(), answer.credential)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "invalid_hive_credential"
    for _ in range(2):  # the connection that was open, and a fresh one
        try:
            as_hive.get(f"{hive.prefix}state")
        except redis.RedisError:
            continue
        raise AssertionError("a removed hive reached Redis")
    assert home.get("models/rbee-mini").json()["hives"] == []
    assert home.get(f"hives/{hive.name}").status_code == 404
    assert home.delete(f"hives/{hive.name}").status_code == 404
    assert redis.Redis.from_url(redis_url).exists(f"{hive.prefix}state") == 0


def test_heartbeat_is_shown_with_its_age(home: Api, redis_url: str) -> None:
    hive, _ = make_hive()
    home.post("models", {"source": "builtin:rbee-mini", "hives": [hive.name]})
    worker = home.get("models/rbee-mini").json()["workers"][0]["id"]
    report = protocol.WorkerReport(
        id=worker, model="rbee-mini", engine="llama_cpp", status="ready", capability="text-gen", devices=[0],
        in_flight=2, queue_depth=0, capacity=8, vram_mib=10, ttft_ms=5, uptime_s=1, pid=1,
    )  # fmt: skip
    device = protocol.DeviceReport(
        index=0,
        kind="cuda",
        name="NVIDIA A100",
        gpu_type="A100",
        vram_total_mib=81920,
        vram_free_mib=80000,
        util_pct=1,
    )
    beat = protocol.encode(heartbeat(hive, workers=[report], devices=[device]))
    queen = redis.Redis.from_url(redis_url)

    queen.set(f"{hive.prefix}state", beat, px=29_000)
    online = home.get("status").json()
    queen.pexpire(f"{hive.prefix}state", 22_000)
    silent = home.get("status").json()

    assert online["hives"][0]["state"] == "online"
    assert 1 <= online["hives"][0]["heartbeat_age_s"] < 2
    assert online["hives"][0]["devices"][0]["gpu_type"] == "A100"
    assert online["hives"][0]["workers"][0]["status"] == "ready"
    assert online["models"][0]["ready_workers"] == 1
    assert online["counts"] == {
        "hives": 1, "hives_online": 1, "workers": 1, "workers_ready": 1, "models": 1, "in_flight": 2,
    }  # fmt: skip
    assert silent["hives"][0]["state"] == "silent"
    assert silent["counts"]["hives_online"] == 0


def test_state_that_makes_no_sense_is_a_hive_that_is_offline(home: Api, redis_url: str) -> None:
    hive, _ = make_hive()
    redis.Redis.from_url(redis_url).set(f"{hive.prefix}state", b"\xff\x00nonsense")

    assert home.get("status").json()["hives"][0]["state"] == "offline"


def test_token_for_what_makes_no_sense_is_refused(home: Api) -> None:
    for body, param in [
        ({"region": "E U"}, "region"),
        ({"region": "E\nU"}, "region"),
        ({"labels": {"gpu type": "A100"}}, "labels"),
        ({"labels": {"a": ["b"]}}, "labels"),
        ({"labels": "gpu_type=A100"}, "labels"),
        ({"models": ["no-such-model"]}, "models"),
        ({"regoin": "EU"}, "regoin"),
    ]:
        answer = home.post("hives/join-tokens", body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), body


def test_hive_endpoints_answer_nonsense_in_the_envelope(home: Api) -> None:
    client = Client()
    answers = [
        client.post("/hive/v1/join", b"{", "application/json"),
        client.post("/hive/v1/join", b"[" * 100_000, "application/json"),
        client.post("/hive/v1/join", b'{"version": 1}', "application/json"),
        client.get("/hive/v1/join"),
        client.post("/hive/v1/placements"),
        client.get("/hive/v1/placements"),
        client.get("/hive/v1/placements", headers={"authorization": "Bearer é\u2713"}),
        client.get("/hive/v1/nothing"),
        join(client, join_request(version=99)),
        join(client, join_request(name="a b")),
        join(client, join_request(public_key="AAAA")),
        join(client, join_request(software="x\x00")),
        join(client, join_request(token="rbee_join_wrong")),
    ]

    assert [answer.status_code for answer in answers] == [
        400, 400, 400, 405, 405, 401, 401, 404, 400, 400, 400, 400, 401,
    ]  # fmt: skip
    for answer in answers:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
