import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import celery
import pytest

from hive_agent.protocol import RUN_TASK, TASKS_QUEUE
from inference.transport.publisher import task_message
from inference.transport.resp import RedisPipe
from tests.system import ROOT

PREFIX = "h:stock:"
DEADLINE_MS = 4_000_000_000_123


@pytest.fixture
def stock_worker(redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    command = (
        "celery -A tests.inference.transport.stock_worker worker --pool threads --concurrency 8 -l warning"
    )
    command += " --without-gossip --without-mingle --without-heartbeat"
    # A hive has no Django, which a worker would otherwise start.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    environment = {**inherited, "STOCK_BROKER": redis_url, "STOCK_PREFIX": PREFIX}
    with subprocess.Popen([sys.executable, "-m", *command.split()], cwd=ROOT, env=environment) as worker:
        yield worker
        worker.terminate()


async def test_a_stock_worker_runs_every_message(
    pipe: RedisPipe, stock_worker: subprocess.Popen[bytes]
) -> None:
    for number in range(1000):
        pipe.send(
            "LPUSH", f"{PREFIX}{TASKS_QUEUE}", task_message(f"task{number}", number % 3 + 1, DEADLINE_MS)
        )
    async with asyncio.timeout(60):
        while await pipe.call("LLEN", f"{PREFIX}ran") < 1000:
            assert stock_worker.poll() is None
            await asyncio.sleep(0.05)
    ran = {line.decode() for line in await pipe.call("LRANGE", f"{PREFIX}ran", 0, -1)}
    assert ran == {f"task{number} {number % 3 + 1} {DEADLINE_MS}" for number in range(1000)}
    assert await pipe.call("LLEN", f"{PREFIX}ran") == 1000


def test_a_message_has_the_shape_that_celery_gives_its_own() -> None:
    message = json.loads(task_message("t", 2, DEADLINE_MS))
    own = celery.Celery("rbee", set_as_current=False).amqp.as_task_v2(
        "t.2", RUN_TASK, ["t", 2, DEADLINE_MS], expires="x", argsrepr="", kwargsrepr="", origin="rbee",
        ignore_result=True,
    )  # fmt: skip
    assert {**message["headers"], "expires": "x"} == own.headers
    assert json.loads(base64.b64decode(message["body"])) == json.loads(json.dumps(own.body))
    assert own.properties.items() <= message["properties"].items()
    assert message["properties"]["delivery_info"]["routing_key"] == TASKS_QUEUE


def test_a_message_expires_at_its_deadline() -> None:
    expires = json.loads(task_message("t", 1, DEADLINE_MS))["headers"]["expires"]
    assert expires == "2096-10-02T07:06:40.123000+00:00"
