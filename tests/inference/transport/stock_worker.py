"""A Celery application as a hive has it, of nothing but Celery: `python -m celery -A tests.inference.transport.stock_worker`.

Its task writes down what it was called with, in the list `<prefix>ran`.
"""

import os

import redis
from celery import Celery
from kombu import Queue

from hive_agent.protocol import RUN_TASK, TASKS_QUEUE

PREFIX = os.environ["STOCK_PREFIX"]

app = Celery("stock", broker=os.environ["STOCK_BROKER"], set_as_current=False)
app.conf.update(
    accept_content=["json"],
    task_ignore_result=True,
    task_queues=[Queue(TASKS_QUEUE)],
    broker_transport_options={"global_keyprefix": PREFIX},
    broker_connection_retry_on_startup=True,
)
client = redis.Redis.from_url(os.environ["STOCK_BROKER"])


@app.task(name=RUN_TASK)
def run(task: str, attempt: int, deadline_ms: int) -> None:
    client.rpush(f"{PREFIX}ran", f"{task} {attempt} {deadline_ms}")
