"""What requests leave in Redis and on hives. Prompts and outputs are in three families only: bodies on their way to a
hive, frames on their way back, and answers that an Idempotency-Key may ask for again."""

from gdpr.places import DAY_S, MINUTE_S, Kind, Lifetime, declare
from hive_agent.protocol import HEARTBEAT_EXPIRY_S, STREAM_EXPIRY_S, TASKS_QUEUE
from inference.domain import idempotency, recovery, reserve
from inference.domain.notices import CONTROL_STREAM

_BOOKS_S = reserve.BOOKS_KEPT_MS // 1000
_LEASE_S = reserve.LEASE_MS // 1000
_IDEMPOTENCY_S = idempotency.KEEP_MS // 1000
_ANSWER_S = idempotency.ANSWER_MS // 1000
_BODY_S = DAY_S  # at most the longest time that a task may take; usually it is claimed at once
_MONTH_S = 31 * DAY_S

# The colony's own.
for _name, _lasts, _holds in (
    ("rbee:epoch", Lifetime.REDIS, "the name of this life of Redis"),
    ("rbee:recovering", recovery.LOCK_MS // 1000, "which queen restores the counters"),
    ("rbee:registered:{queen}", Lifetime.REDIS, "that a queen wrote down what it holds"),
    ("rbee:reloaded", Lifetime.REDIS, "that the counters were loaded from the books"),
    ("rbee:idem:bytes:{span}", 2 * _ANSWER_S, "bytes of answers that are kept"),
):
    declare(Kind.KEY, _name, "none", "operations", _lasts, _holds)

declare(
    Kind.KEY,
    "rbee:counted",
    "pseudonym",
    "inference",
    _BOOKS_S,
    "tasks that counters have and the books not yet",
)
declare(Kind.KEY, "rbee:slice:{slice}", "pseudonym", "billing", Lifetime.REDIS,
        "what is left of money, and what tasks hold of it")  # fmt: skip

# How much a tenant, a project, a key or an end user took. Marks come first: their names go on after a counter's.
for _whose in ("", ":{level=project|key}:{owner}", ":{kind=of|subject}:{subject}"):
    _key, _says = f"rbee:lim:{{tenant}}{_whose}", "how much was taken of a limit"
    declare(
        Kind.KEY,
        _key + ":{limit*}:told:{percent}",
        "pseudonym",
        "notices",
        _MONTH_S,
        "that a limit is nearly used up",
    )
    declare(Kind.KEY, _key + ":day", "pseudonym", "inference", DAY_S, _says)
    declare(Kind.KEY, _key + ":{what=requests|tokens}", "pseudonym", "inference", MINUTE_S, _says)
    declare(Kind.KEY, _key + ":tasks", "pseudonym", "inference", _LEASE_S, "tasks that run")
    declare(
        Kind.KEY, _key + ":{unit}:{period=day|month}:{version}", "pseudonym", "inference", _BOOKS_S, _says
    )

declare(Kind.KEY, "rbee:idem:{tenant}:bytes:{span}", "pseudonym", "inference", 2 * _ANSWER_S,
        "bytes of answers that are kept")  # fmt: skip
declare(Kind.KEY, "rbee:idem:{tenant}:{key}", "pseudonym", "inference", _IDEMPOTENCY_S,
        "that a request under an Idempotency-Key ran")  # fmt: skip
declare(Kind.KEY, "rbee:idem:{tenant}:{key}:answer", "content", "inference", _ANSWER_S,
        "the answer to a request that named an Idempotency-Key")  # fmt: skip

# Between the queen and a hive.
_HIVE = "h:{hive}:"
declare(
    Kind.KEY, _HIVE + TASKS_QUEUE, "pseudonym", "inference", Lifetime.TAKEN, "tasks on their way to a hive"
)
declare(Kind.KEY, _HIVE + "body:{task}:{attempt}", "content", "inference", _BODY_S,
        "a request on its way to a hive, which takes it away")  # fmt: skip
declare(Kind.KEY, _HIVE + "out:{queen}", "content", "inference", STREAM_EXPIRY_S,
        "an answer on its way to the client, cut off behind what was read")  # fmt: skip
declare(Kind.KEY, _HIVE + CONTROL_STREAM, "pseudonym", "inference", Lifetime.REDIS,
        "which tasks a hive is to end: the last 1000")  # fmt: skip
declare(
    Kind.KEY, _HIVE + "state", "none", "operations", HEARTBEAT_EXPIRY_S, "what a hive said of itself last"
)
for _name in ("_kombu.binding.{queue}", "_kombu.binding_permanent.{queue}"):
    declare(Kind.KEY, _HIVE + _name, "none", "operations", Lifetime.REDIS, "names of queues")
declare(Kind.KEY, _HIVE + "{what=unacked|unacked_index|unacked_mutex}", "pseudonym", "inference", Lifetime.TAKEN,
        "tasks that a worker has taken")  # fmt: skip
declare(
    Kind.QUEUE, TASKS_QUEUE, "pseudonym", "inference", Lifetime.TAKEN, "task, attempt, deadline: no request"
)
declare(
    Kind.CHANNEL, "rbee:invalidate", "pseudonym", "security", Lifetime.HEARD, "that keys or tenants changed"
)

# In the folder of a hive.
for _name, _class, _lasts, _holds in (
    ("hive.json", "secret", Lifetime.MACHINE, "its credentials"),
    ("hive.key", "secret", Lifetime.MACHINE, "the key that signs its receipts"),
    ("spool.db", "pseudonym", Lifetime.BOOKED, "receipts: which task used how much"),
    ("spool.db-{side=wal|shm}", "pseudonym", Lifetime.BOOKED, "side files of the spool"),
    ("agent.lock", "none", Lifetime.MACHINE, "its process"),
    ("workers.json", "none", Lifetime.MACHINE, "what it is to run"),
    ("runner.json", "none", Lifetime.MACHINE, "what it runs"),
    (
        "log/{file}",
        "pseudonym",
        Lifetime.ROTATED,
        "lines of its processes; of a task: id, outcome and quantities",
    ),
):
    declare(
        Kind.FILE,
        f"hive/{_name}",
        _class,
        "inference" if _class == "pseudonym" else "operations",
        _lasts,
        _holds,
    )
