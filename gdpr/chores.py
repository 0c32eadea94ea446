"""How a part of the queen tells the Celery worker that there is work. Only a hint: what is to be done stands in
PostgreSQL, and beat looks there too, so a hint that is lost costs seconds and never the work."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from celery import Celery
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

QUEUE = "chores"
KEY_PREFIX = "rbee:celery:"
HINT_LIFETIME_S = 15
TIMEOUT_S = 1.0
SILENCE_S = 10.0  # after a broker that did not answer: nobody else waits for it

_silent_until = 0.0
logger = logging.getLogger(__name__)


def hint_after_commit(task: str) -> None:
    """Tells a worker to run the task of this name, once the transaction that calls this has committed."""
    transaction.on_commit(lambda: _send(task))


def _send(task: str) -> None:
    global _silent_until
    if not settings.RBEE.celery_broker_url or time.monotonic() < _silent_until:
        return
    try:
        _sender(settings.RBEE.celery_broker_url).send_task(
            task, expires=HINT_LIFETIME_S, retry=False, ignore_result=True
        )
    except (KombuError, OSError) as error:
        _silent_until = time.monotonic() + SILENCE_S
        logger.warning("no worker was told of %s (%s): beat does it", task, type(error).__name__)


@lru_cache(maxsize=2)
def _sender(broker_url: str) -> Celery:
    app = Celery("hints", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        task_default_queue=QUEUE,
        broker_connection_timeout=TIMEOUT_S,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0,
        },
    )
    return app
