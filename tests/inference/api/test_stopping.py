import json

from tests.inference.api.conftest import Colony, chat


def test_stopping_server_ends_its_streams_with_an_error(home: Colony) -> None:
    with (
        home.call() as client,
        client.stream("POST", "/v1/chat/completions", json=chat("slow", stream=True)) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        home.server.stop()
        rest = [line for line in lines if line]

    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2].removeprefix("data: "))["error"]["code"] == "server_shutdown"
    assert home.wait_for(lambda: home.hive.stopped) == {home.hive.bodies[0].task: "platform_failed"}
