from __future__ import annotations

import pytest

from tests.factories.inference import make_hive
from tests.inference.conftest import Api, audit_events


def test_model_is_placed_on_the_only_hive(home: Api) -> None:
    hive, _ = make_hive()

    answer = home.post("models", {"source": "builtin:rbee-mini"})

    assert answer.status_code == 201
    model = answer.json()
    assert model["name"] == "rbee-mini"
    assert model["hives"] == [hive.name]
    assert (model["engine"], model["capability"], model["type"]) == ("llama_cpp", "text-gen", "text")
    assert (model["prices"], model["is_free"]) == ({}, True)
    assert [worker["status"] for worker in model["workers"]] == ["available"]
    assert audit_events("model.") == ["model.added", "model.placed"]


def test_business_case_command_places_a_model_of_the_catalog_on_one_more_hive(home: Api) -> None:
    first, _ = make_hive()
    home.post("models", {"source": "/models/llama.gguf", "name": "llama-3-405b", "hives": [first.name]})
    second, _ = make_hive()

    answer = home.post("models", {"source": "llama-3-405b", "hives": [second.name]})

    assert answer.status_code == 200
    assert sorted(answer.json()["hives"]) == sorted([first.name, second.name])


def test_model_in_business_needs_a_price_and_a_price_of_nothing_must_be_said(operator: Api) -> None:
    make_hive()

    refused = operator.post("models", {"source": "builtin:rbee-mini"})
    free = operator.post("models", {"source": "builtin:rbee-mini", "name": "a", "free": True})
    zero = operator.post(
        "models",
        {"source": "builtin:rbee-mini", "name": "b", "prices": {"prompt_tokens": 0, "completion_tokens": 0}},
    )
    priced = operator.post(
        "models",
        {
            "source": "builtin:rbee-mini",
            "name": "c",
            "prices": {"prompt_tokens": 200_000, "completion_tokens": 800_000},
        },
    )
    partly = operator.post(
        "models", {"source": "builtin:rbee-mini", "name": "d", "prices": {"prompt_tokens": 200_000}}
    )

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "prices"
    assert "--free" in refused.json()["error"]["message"]
    assert (free.json()["is_free"], zero.json()["is_free"]) == (True, True)
    assert priced.json()["prices"] == {"prompt_tokens": 200_000, "completion_tokens": 800_000}
    assert priced.json()["currency"] == "EUR"
    assert partly.status_code == 400
    assert [row["name"] for row in operator.get("models").json()["data"]] == ["c", "b", "a"]


def test_removed_model_is_404_and_its_name_is_free_again(home: Api) -> None:
    make_hive()
    home.post("models", {"source": "builtin:rbee-mini", "name": "org/a:b"})

    assert home.get("models/org/a:b").status_code == 200
    assert home.delete("models/org%2Fa:b").json() == {"id": "org/a:b", "object": "model", "deleted": True}

    assert home.get("models/org/a:b").status_code == 404
    assert home.get("models/org/a:b").json()["error"]["code"] == "model_not_found"
    assert home.post("models", {"source": "builtin:rbee-mini", "name": "org/a:b"}).status_code == 201


def test_model_is_taken_off_one_hive(home: Api) -> None:
    (first, _), (second, _) = make_hive(), make_hive()
    home.post("models", {"source": "builtin:rbee-mini", "hives": [first.name, second.name]})

    assert home.delete(f"models/rbee-mini?hive={first.name}").status_code == 200

    assert home.get("models/rbee-mini").json()["hives"] == [second.name]
    assert home.delete(f"models/rbee-mini?hive={first.name}").status_code == 404
    assert audit_events("model.unplaced") == ["model.unplaced"]


def test_name_of_another_model_is_a_conflict(home: Api) -> None:
    make_hive()
    home.post("models", {"source": "builtin:rbee-mini", "name": "mine"})

    answer = home.post("models", {"source": "Qwen/Qwen3-0.6B-GGUF", "name": "mine"})

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "name_taken"


def test_without_a_hive_or_with_several_the_hive_must_be_named(home: Api) -> None:
    none = home.post("models", {"source": "builtin:rbee-mini"})
    (first, _), (second, _) = make_hive(), make_hive()
    several = home.post("models", {"source": "builtin:rbee-mini"})

    assert (none.status_code, several.status_code) == (400, 400)
    assert "rbee hive token" in none.json()["error"]["message"]
    assert first.name in several.json()["error"]["message"]
    assert second.name in several.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "source"),
        ({"source": ""}, "source"),
        ({"source": "no-such-model"}, "source"),
        ({"source": "builtin:gpt-5"}, "source"),
        ({"source": "https://evil.example/model.gguf"}, "source"),
        ({"source": "hf:org/../../etc/passwd"}, "source"),
        ({"source": "/models/../../etc/shadow.gguf"}, "source"),
        ({"source": "/models/weights.safetensors"}, "source"),
        ({"source": "echo:"}, "source"),
        ({"source": "a\x00b/c"}, "source"),
        ({"source": ["builtin:rbee-mini"]}, "source"),
        ({"source": "builtin:rbee-mini", "name": "a b"}, "name"),
        ({"source": "builtin:rbee-mini", "name": "é"}, "name"),
        ({"source": "builtin:rbee-mini", "name": "a\nb"}, "name"),
        ({"source": "builtin:rbee-mini", "name": "x" * 129}, "name"),
        ({"source": "builtin:rbee-mini", "name": "'; DROP TABLE inference_model; --"}, "name"),
        ({"source": "builtin:rbee-mini", "name": "../.."}, "name"),
        ({"source": "builtin:rbee-mini", "engine": "vllm2"}, "engine"),
        ({"source": "builtin:rbee-mini", "hives": ["no-such-hive"]}, None),
        ({"source": "builtin:rbee-mini", "options": {"context_tokens": -1}}, "options"),
        ({"source": "builtin:rbee-mini", "options": {"slots": True}}, "options"),
        ({"source": "builtin:rbee-mini", "options": {"a": {"b": 1}}}, "options"),
        ({"source": "builtin:rbee-mini", "options": {"A b": 1}}, "options"),
        ({"source": "builtin:rbee-mini", "options": {"a": "x\x00"}}, "options"),
        ({"source": "builtin:rbee-mini", "options": []}, "options"),
        ({"source": "builtin:rbee-mini", "prices": {"prompt_tokens": -1}}, "prices"),
        ({"source": "builtin:rbee-mini", "prices": {"prompt_tokens": 2**70}}, "prices"),
        ({"source": "builtin:rbee-mini", "prices": {"a": 1}, "free": True}, "prices"),
        ({"source": "builtin:rbee-mini", "currency": "euro"}, "currency"),
        ({"source": "builtin:rbee-mini", "free": True, "currency": "USD"}, "prices"),
        ({"source": "builtin:rbee-mini", "hive": "x"}, "hive"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    home: Api, body: dict[str, object], param: str | None
) -> None:
    make_hive()

    answer = home.post("models", body)

    assert answer.status_code == (404 if param is None else 400), answer.content
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"] or "").partition(".")[0] == (param or "")
    assert home.get("models").json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"source": "\\ud800"}', b'{"source": 1e400}'],
)
def test_body_that_is_no_json_object_is_a_400(home: Api, body: bytes) -> None:
    answer = home.client.post("/api/v1/models", body, "application/x-www-form-urlencoded")

    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", ["%00", "a%00b", "%0a", "no-such", "../status", "é", "x" * 3000])
def test_absent_and_impossible_names_are_the_same_404(home: Api, name: str) -> None:
    answer = home.get(f"models/{name}")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] in {"model_not_found", "unknown_url"}


def test_list_is_paged(home: Api) -> None:
    make_hive()
    for number in range(5):
        home.post("models", {"source": "builtin:rbee-mini", "name": f"m{number}"})

    names, cursor = [], ""
    while True:
        page = home.get("models", limit=2, cursor=cursor).json()
        names += [row["name"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = page["next_cursor"]

    assert names == ["m4", "m3", "m2", "m1", "m0"]
    assert home.get("models", limit=0).status_code == 400
    assert home.get("models", cursor="???").status_code == 400
    assert home.get("models", cursor="abc").json()["error"]["param"] == "cursor"
    assert home.get("models", page=2).json()["error"]["param"] == "page"
