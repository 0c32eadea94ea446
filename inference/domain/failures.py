"""How a dispatched task fails towards its client.

TaskFailed
    402  insufficient_quota / insufficient_quota    the balance does not have what the task may cost
    401  invalid_request_error / invalid_api_key    the key was revoked while the task ran
    429  rate_limit_error / rate_limit_exceeded     a window or the concurrency of the caller is full
    429  insufficient_quota / quota_exceeded        the day's quantity is used up
    500  server_error / worker_error                the hive or its engine failed
    500  server_error / stream_broken               frames of the answer are missing
    500  server_error / client_too_slow             the client took too little of what was written for it
    503  server_error / stream_lost                 Redis was lost while the task ran
    503  service_unavailable / no_workers           nobody took the task
    503  service_unavailable / rebuilding           Redis was lost, counters are being restored
    503  service_unavailable / redis_unreachable    Redis does not answer
    503  service_unavailable / balance_unknown      PostgreSQL does not answer, and the budget slice is used up
    504  server_error / timeout                     the task reached its deadline
"""

from __future__ import annotations

from hive_agent.protocol import TaskError

RETRY_AFTER_S = 1
REBUILDING_RETRY_AFTER_S = 5


class TaskFailed(Exception):
    """`status`, `type`, `code`, `message` and `param` are those of the OpenAI envelope, `headers` go with it."""

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 -- the envelope's word
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.param = param


def hive_error(error: TaskError) -> TaskFailed:
    """What a hive says of a task; a status that is no error's becomes 500."""
    status = error.status if 400 <= error.status <= 599 else 500
    return TaskFailed(status, error.type, error.code, error.message, param=error.param)


def no_workers() -> TaskFailed:
    return TaskFailed(
        503,
        "service_unavailable",
        "no_workers",
        "No worker took the task; try again in a moment.",
        {"retry-after": str(RETRY_AFTER_S)},
    )


def rebuilding() -> TaskFailed:
    return TaskFailed(
        503,
        "service_unavailable",
        "rebuilding",
        "The service is restoring its counters; try again in a few seconds.",
        {"retry-after": str(REBUILDING_RETRY_AFTER_S)},
    )


def redis_unreachable() -> TaskFailed:
    return TaskFailed(
        503,
        "service_unavailable",
        "redis_unreachable",
        "The service cannot dispatch tasks at the moment; try again.",
        {"retry-after": str(RETRY_AFTER_S)},
    )


def stream_lost() -> TaskFailed:
    return TaskFailed(
        503,
        "server_error",
        "stream_lost",
        "The connection to the worker was lost; the answer is incomplete and not charged.",
        {"retry-after": str(RETRY_AFTER_S)},
    )


def stream_broken() -> TaskFailed:
    return TaskFailed(
        500, "server_error", "stream_broken", "Parts of the answer are missing; it is not charged."
    )


def client_too_slow() -> TaskFailed:
    return TaskFailed(
        500,
        "server_error",
        "client_too_slow",
        "The answer was read too slowly and was cancelled.",
        {"x-should-retry": "false"},
    )


def key_revoked() -> TaskFailed:
    return TaskFailed(
        401,
        "invalid_request_error",
        "invalid_api_key",
        "This API key was revoked while its request ran.",
        {"www-authenticate": "Bearer"},
    )


def subject_frozen() -> TaskFailed:
    return TaskFailed(
        403,
        "permission_error",
        "subject_frozen",
        "The end user of this request is being erased (Art. 17 GDPR); the answer is incomplete.",
        {"x-should-retry": "false"},
    )


def worker_lost() -> TaskFailed:
    return TaskFailed(500, "server_error", "worker_error", "The worker was lost; the answer is incomplete.")


def timed_out() -> TaskFailed:
    return TaskFailed(504, "server_error", "timeout", "The task reached its deadline.")


def balance_too_low(need_micros: int, currency: str) -> TaskFailed:
    return TaskFailed(
        402,
        "insufficient_quota",
        "insufficient_quota",
        f"The balance does not cover this request, which may cost {need_micros / 1_000_000:.6f} {currency} beside what is "
        "held for tasks that run. A smaller 'max_tokens' needs less; a payment adds to the balance.",
        {"x-should-retry": "false"},
    )


def balance_unknown() -> TaskFailed:
    return TaskFailed(
        503,
        "service_unavailable",
        "balance_unknown",
        "The balance cannot be read at the moment; try again.",
        {"retry-after": str(RETRY_AFTER_S)},
    )
