"""What clients get, from a real server and hives that speak the protocol."""

import asyncio
import json
import re
import socket

import httpx
import openai
import pytest

from inference.api import app, delivery, exchange
from inference.api.exchange import Exchange
from inference.api.queen import Queen
from inference.domain.dispatch import MAX_REFUSALS
from tests.inference.api.conftest import Colony, chat

HELLO = [{"role": "user", "content": "hello there friend"}]


def test_openai_client_gets_whole_answers_and_streams(home: Colony) -> None:
    client = openai.OpenAI(base_url=f"{home.url}/v1", api_key="unused")

    whole = client.chat.completions.with_raw_response.create(model="m", messages=HELLO)
    chunks = list(
        client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )

    answer = whole.parse()
    assert answer.choices[0].message.content == "hello there friend"
    assert re.fullmatch(r"req_[0-9a-f]{32}", whole.headers["x-request-id"])
    assert answer.id.startswith("chatcmpl-")
    assert [chunk.choices[0].delta.content for chunk in chunks[:-1]] == ["hello", "there", "friend", ""]
    assert chunks[-1].usage.total_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


async def test_async_openai_client_gets_the_same(home: Colony) -> None:
    async with openai.AsyncOpenAI(base_url=f"{home.url}/openai/v1", api_key="unused") as client:
        answer, stream = await asyncio.gather(
            client.chat.completions.create(model="m", messages=HELLO),
            client.chat.completions.create(model="m", messages=HELLO, stream=True),
        )
        text = [chunk.choices[0].delta.content async for chunk in stream]

    assert answer.choices[0].message.content == "hello there friend"
    assert text == ["hello", "there", "friend", ""]


def test_completions_answer_too(home: Colony) -> None:
    client = openai.OpenAI(base_url=f"{home.url}/v1", api_key="unused")

    answer = client.completions.create(model="m", prompt="one two")
    stream = list(client.completions.create(model="m", prompt="one two", stream=True))

    assert answer.choices[0].text == "one two"
    assert answer.id.startswith("cmpl-")
    assert [chunk.choices[0].text for chunk in stream] == ["one", "two", ""]


def test_many_at_once_get_each_their_own(home: Colony) -> None:
    async def ask_all() -> list[str]:
        async with httpx.AsyncClient(base_url=home.url, timeout=30) as client:
            answers = await asyncio.gather(
                *(
                    client.post("/v1/chat/completions", json=chat(f"number {n}", stream=n % 2 == 0))
                    for n in range(60)
                )
            )
        return [answer.text for answer in answers]

    for number, text in enumerate(asyncio.run(ask_all())):
        assert set(re.findall(r'"content": "(\w[^"]*)"', text)) in (
            {"number", str(number)}, {f"number {number}"},
        )  # fmt: skip


def test_body_reaches_the_hive_as_the_client_sent_it_whatever_its_type(home: Colony) -> None:
    body = (
        b'{ "messages": [{"content": "hi", "role": "user"}],\n "model": "m", "top_k": 40, "x": {"y": [1e2]} }'
    )
    with home.call() as client:
        for headers in (
            {},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "text/plain"},
        ):
            assert client.post("/v1/chat/completions", content=body, headers=headers).status_code == 200

    assert {seen.request for seen in home.hive.bodies} == {body}


def test_stream_says_that_it_is_one_and_ends_in_done(home: Colony) -> None:
    answer = home.ask("a b", stream=True)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["openai-version"] == "2020-10-01"
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "usage" not in answer.text


def test_models_have_both_shapes(home: Colony) -> None:
    home.add_model("org/other")
    with home.call() as client:
        for prefix in ("/v1", "/openai/v1"):
            listed = client.get(f"{prefix}/models").json()
            assert listed["object"] == "list"
            assert [(model["id"], model["object"]) for model in listed["data"]] == [
                ("m", "model"),
                ("org/other", "model"),
            ]
            assert listed["models"] == [{"id": "m", "type": "text"}, {"id": "org/other", "type": "text"}]
            assert client.get(f"{prefix}/models/org/other").json() == listed["data"][1]


WRONG_URLS = [
    ("GET", "/v1", 404, "unknown_url"),
    ("GET", "/v1/", 404, "unknown_url"),
    ("POST", "/v1/chat/completions/", 404, "unknown_url"),
    ("POST", "/openai/v1/embeddingz", 404, "unknown_url"),
    ("GET", "/v1/%F0%9F%90%9D%7F", 404, "unknown_url"),
    ("GET", "/v1/models/", 404, "unknown_url"),
    ("GET", "/v1/models/nope", 404, "model_not_found"),
    ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ("DELETE", "/v1/models/m", 405, "method_not_allowed"),
    ("OPTIONS", "/v1/models", 405, "method_not_allowed"),
]


def test_wrong_url_or_method_is_said_in_the_envelope(home: Colony) -> None:
    for method, path, status, code in WRONG_URLS:
        answer = home.call().request(method, path)

        assert (answer.status_code, error(answer)["code"]) == (status, code)
        assert status != 405 or answer.headers["allow"] in {"GET", "POST"}


def test_unknown_model_is_a_404_that_names_it(home: Colony) -> None:
    answer = home.ask("x", model="gpt-9")

    assert answer.status_code == 404
    assert error(answer) == {
        "message": "The model 'gpt-9' does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_error_before_the_first_chunk_is_a_status(home: Colony) -> None:
    for stream in (False, True):
        rejected, crashed = home.ask("reject", stream=stream), home.ask("crash", stream=stream)

        assert (rejected.status_code, error(rejected)["code"], error(rejected)["param"]) == (
            400, "context_length_exceeded", "messages",
        )  # fmt: skip
        assert (crashed.status_code, error(crashed)["code"]) == (500, "worker_error")


def test_error_in_mid_stream_is_an_event_before_done(home: Colony) -> None:
    events = home.ask("break", stream=True).text.strip().split("\n\n")

    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2].removeprefix("data: ")) == {
        "error": {
            "message": "The engine died.",
            "type": "server_error",
            "param": None,
            "code": "worker_error",
        }
    }
    client = openai.OpenAI(base_url=f"{home.url}/v1", api_key="unused", max_retries=0)
    with pytest.raises(openai.APIError, match="The engine died"):
        list(
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "break"}], stream=True
            )
        )


def test_task_that_a_hive_refuses_goes_to_another(home: Colony) -> None:
    assert error(home.ask("refuse"))["code"] == "no_workers"
    assert len(home.hive.bodies) == MAX_REFUSALS  # it is asked again when it says that it has room

    other = home.add_hive("m")
    home.ask("refuse")
    assert len(other.bodies) > 0
    assert len(home.hive.bodies) + len(other.bodies) == 2 * MAX_REFUSALS


def test_client_that_leaves_cancels_its_task(home: Colony) -> None:
    with (
        home.call() as client,
        client.stream("POST", "/v1/chat/completions", json=chat("slow", stream=True)) as answer,
    ):
        next(answer.iter_lines())

    assert home.wait_for(lambda: home.hive.stopped) == {home.hive.bodies[0].task: "client_cancelled"}


def test_client_that_leaves_without_a_stream_cancels_its_task(home: Colony) -> None:
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=home.url, timeout=0.3) as client:
        client.post("/v1/chat/completions", json=chat("never"))

    assert home.wait_for(lambda: home.hive.stopped) == {home.hive.bodies[0].task: "client_cancelled"}


def test_client_that_leaves_before_its_first_chunk_cancels_its_task(home: Colony) -> None:
    client = openai.OpenAI(base_url=f"{home.url}/v1", api_key="unused", max_retries=0, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "never"}], stream=True
        )

    assert home.wait_for(lambda: home.hive.stopped) == {home.hive.bodies[0].task: "client_cancelled"}


def test_client_that_takes_nothing_loses_its_task_and_slows_nobody(home: Colony) -> None:
    with (
        home.call() as client,
        client.stream("POST", "/v1/chat/completions", json=chat("flood", stream=True)),
    ):
        assert home.wait_for(lambda: home.hive.stopped)

        assert home.ask("quick").status_code == 200


def test_client_that_takes_nothing_for_too_long_is_let_go(
    home: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "STALL_S", 0.3)
    monkeypatch.setattr(delivery, "LOOK_S", 0.05)
    with home.call().stream("POST", "/v1/chat/completions", json=chat("flood", stream=True)):
        assert home.wait_for(lambda: home.hive.stopped)
        home.wait_for(lambda: not home.queen.deliveries.owners)


def test_upload_that_stalls_is_given_up(home: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "UPLOAD_TIMEOUT_S", 0.2)
    request = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{home.port}\r\nContent-Length: 9\r\n\r\n{{"
    with socket.create_connection(("127.0.0.1", home.port), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_client_that_leaves_while_it_sends_is_no_error(
    home: Colony, caplog: pytest.LogCaptureFixture
) -> None:
    request = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{home.port}\r\nContent-Length: 9\r\n\r\n{{"
    with socket.create_connection(("127.0.0.1", home.port), timeout=10) as connection:
        connection.sendall(request.encode())

    assert home.call().get("/healthz").status_code == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_id_that_the_client_gives_is_found_in_the_log_beside_ours(
    home: Colony, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "inference")
    mine = "0d9c2b58-0f5e-4d6a-9d0c-5f3f7a1c2e44"
    answer = home.call().get("/v1/models", headers={"x-client-request-id": mine, "x-request-id": "not-ours"})
    for bad in ("a" * 200, "\x1b[31m", "é", "what Mrs Bueller asked"):
        home.call().get("/v1/models", headers={"x-client-request-id": bad.encode()})

    assert answer.headers["x-request-id"] != "not-ours"
    logged = [record.message for record in caplog.records if "of its client" in record.message]
    assert logged == [f"{answer.headers['x-request-id']} is {mine} of its client"]


def test_bug_of_ours_is_a_500_without_a_word_of_the_request(
    home: Colony, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(queen: Queen, exchange: Exchange) -> None:
        raise RuntimeError((await exchange.read_body()).decode())

    monkeypatch.setitem(app.routes, "/v1/completions", ("POST", break_down))
    answer = home.call().post("/v1/completions", content=b"my private words")

    assert (answer.status_code, error(answer)["code"]) == (500, "internal_error")
    (problem,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert answer.headers["x-request-id"] in problem
    assert "break_down" in problem
    assert "private" not in answer.text + problem


def test_client_that_waits_is_told_that_the_connection_lives(
    home: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(delivery, "LOOK_S", 0.05)
    with (
        home.call() as client,
        client.stream("POST", "/v1/chat/completions", json=chat("vanish", stream=True)) as answer,
    ):
        lines = answer.iter_lines()
        seen = [next(line for line in lines if line) for _ in range(3)]

    assert [line.startswith("data: {") for line in seen[:1]] == [True]
    assert ": ping" in seen


def test_large_bodies_are_refused_in_every_form(home: Colony) -> None:
    too_much = 33 << 20
    with home.call() as client:
        said = client.post("/v1/chat/completions", content=b"x" * too_much)
        chunked = client.post("/v1/chat/completions", content=(b"x" * (1 << 20) for _ in range(33)))

    for answer in (said, chunked):
        assert (answer.status_code, error(answer)["code"]) == (413, "request_too_large")


def test_chunked_body_is_a_body(home: Colony) -> None:
    whole = json.dumps(chat("in pieces")).encode()
    with home.call() as client:
        answer = client.post(
            "/v1/chat/completions", content=(whole[at : at + 7] for at in range(0, len(whole), 7))
        )

    assert answer.json()["choices"][0]["message"]["content"] == "in pieces"


def test_encoded_body_is_a_415(home: Colony) -> None:
    with home.call() as client:
        answer = client.post("/v1/chat/completions", content=b"x", headers={"content-encoding": "gzip"})

    assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_content_encoding")


def test_bad_body_is_a_400(home: Colony) -> None:
    for body in (b"", b"{", b"null", b'{"model": "m"}', b"\xff", b'{"model": "m", "messages": [NaN]}'):
        answer = home.call().post("/v1/chat/completions", content=body)

        assert answer.status_code == 400
        assert error(answer)["type"] == "invalid_request_error"


def test_probes_tell_life_from_readiness(home: Colony) -> None:
    with home.call() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}


def error(answer: httpx.Response) -> dict[str, object]:
    found = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")
    return dict(found)
