"""The queen's publisher: a Celery message (protocol 2) as kombu's Redis transport writes it, made by hand.

A stock worker runs it. Celery's own `apply_async` would cost the queen some 30 times as much, and could not take part in
the Lua script that reserves and dispatches in one step. `tests/inference/transport/test_publisher.py` holds it against
the installed Celery.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec

from hive_agent.protocol import RUN_TASK, TASKS_QUEUE


def task_message(task: str, attempt: int, deadline_ms: int) -> bytes:
    """For the list `tasks` of a hive. It expires at the deadline, like the body without which it does nothing."""
    body = b64encode(_encode([[task, attempt, deadline_ms], {}, _EMBEDDED]))
    expires = datetime.fromtimestamp(deadline_ms / 1000, UTC).isoformat().encode()
    name = f"{task}.{attempt}".encode()
    return b"".join(
        (_BODY, body, _ID, name, _ROOT, name, _EXPIRES, expires, _CORRELATION, name, _TAG, name, _END)
    )


def _split_template() -> tuple[bytes, ...]:
    """The constant pieces between what differs, in the order of `task_message`."""
    template: dict[str, Any] = {
        "body": _HOLE,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": RUN_TASK,
            "id": _HOLE,
            "root_id": _HOLE,
            "expires": _HOLE,
            "parent_id": None,
            "shadow": None,
            "eta": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "",
            "kwargsrepr": "",
            "origin": "rbee",
            "ignore_result": True,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": _HOLE,
            "delivery_tag": _HOLE,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": TASKS_QUEUE},
            "priority": 0,
            "body_encoding": "base64",
        },
    }
    return tuple(_encode(template).split(_HOLE.encode()))


_HOLE = "@@"
_EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_encode = msgspec.json.Encoder().encode
_BODY, _ID, _ROOT, _EXPIRES, _CORRELATION, _TAG, _END = _split_template()
