"""Every message between a queen and its hives, and where each one travels.

A hive owns the Redis keys under its prefix and nothing else; the names below are relative to it:

    tasks                   list    queen -> hive   Celery messages (protocol 2), `hive.run(task, attempt, deadline_ms)`
    body:<task>:<attempt>   string  queen -> hive   TaskBody; the hive's GETDEL of it is the claim
    out:<queen>             stream  hive -> queen   field `f` holds a list of Frame, one stream per queen process
    control                 stream  queen -> hive   field `c` holds a Control
    state                   string  hive -> queen   Heartbeat, written each second with an expiry

Over HTTPS to the queen: `POST /hive/v1/join` (JoinRequest -> JoinAnswer, JSON), `GET /hive/v1/placements`
(Placements, JSON), `POST /hive/v1/forgotten` (Forgotten, JSON) and `POST /hive/v1/receipts` (ReceiptBatch ->
ReceiptAnswer, msgpack), all but the first with `Authorization: Bearer <JoinAnswer.credential>`.

Structs travel as msgpack arrays: fields may only be appended, with a default, and `VERSION` rises when a reader of the
version before could not make sense of a message. Identifiers are strings: hives, tasks and workers are UUIDs in hex.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

VERSION = 1

TASKS_QUEUE = "tasks"
RUN_TASK = "hive.run"
FRAMES_FIELD = b"f"
CONTROL_FIELD = b"c"

HEARTBEAT_INTERVAL_S = 1.0
HEARTBEAT_EXPIRY_S = 30
CLAIM_TIMEOUT_S = 2.0
SILENT_S = 5.0  # a hive silent for this long gets no task
LOST_S = 15.0  # a hive silent for this long loses the tasks it holds
STREAM_EXPIRY_S = 10  # an out stream whose queen stopped renewing it


class Message(msgspec.Struct, array_like=True, frozen=True):
    """Base of what travels as msgpack."""


class FrameKind(IntEnum):
    BEGUN = 0  # the hive holds the task; data is Begun, seq is 0 and is not counted
    CHUNK = 1  # one or more complete SSE events, forwarded as they are
    RESULT = 2  # the whole JSON body of an answer that is not streamed
    ERROR = 3  # data is TaskError; the last frame before END
    REFUSED = 4  # the hive did not begin; data is TaskError, the queen may ask another hive; no END follows
    END = 5  # data is End; seq is the number of CHUNK, RESULT and ERROR frames sent


class Frame(Message, frozen=True):
    """One piece of an answer. CHUNK, RESULT and ERROR are numbered from 0 without a hole within an attempt."""

    task: str
    attempt: int
    seq: int
    kind: int
    data: bytes


class Begun(Message, frozen=True):
    epoch: int  # of the hive's process that claimed the task
    worker: str


class TaskError(Message, frozen=True):
    """`status` and `code` are those of the OpenAI envelope that the client gets."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None


class Outcome(StrEnum):
    COMPLETED = "completed"
    CLIENT_CANCELLED = "client_cancelled"  # pays for what was produced
    WORKER_FAILED = "worker_failed"  # pays nothing
    PLATFORM_FAILED = "platform_failed"  # pays nothing
    REJECTED = "rejected"  # the engine found the request itself at fault; pays nothing
    TIMED_OUT = "timed_out"  # pays nothing


CHARGED_OUTCOMES = frozenset({Outcome.COMPLETED, Outcome.CLIENT_CANCELLED})


class End(Message, frozen=True):
    outcome: str
    usage: dict[str, int]


class TaskBody(Message, frozen=True):
    """What a hive needs to run one attempt of a task. Lives in Redis for at most its deadline; never on a disk."""

    version: int
    task: str
    attempt: int
    queen: str  # suffix of the out stream
    worker: str
    model: str  # as the client named it; answers repeat it
    endpoint: str  # an Endpoint
    stream: bool
    include_usage: bool  # the client asked for the usage chunk
    deadline_ms: int  # Unix time
    created_s: int  # Unix time, `created` of the answer
    answer_id: str  # `id` of the answer, e.g. chatcmpl-…
    request: bytes  # the client's JSON body
    envelope: bytes  # SignedEnvelope, opaque to the hive, returned in the receipt


class Endpoint(StrEnum):
    CHAT = "chat.completions"
    COMPLETIONS = "completions"


class ControlKind(StrEnum):
    CANCEL = "cancel"  # the client is gone: abort, bill what was produced
    PLACEMENTS = "placements"  # read the placements again
    DRAIN = "drain"  # finish what runs, take nothing more


class Control(Message, frozen=True):
    kind: str
    task: str = ""
    attempt: int = 0
    outcome: str = Outcome.CLIENT_CANCELLED  # of a cancelled task


class WorkerStatus(StrEnum):
    AVAILABLE = "available"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class DeviceReport(Message, frozen=True):
    index: int
    kind: str  # cpu, cuda, rocm, metal
    name: str  # as its driver names it
    gpu_type: str  # short form that scripts compare: H100, A100, RTX4090, M2 Ultra, CPU
    vram_total_mib: int  # a CPU reports its memory
    vram_free_mib: int
    util_pct: int


class WorkerReport(Message, frozen=True):
    id: str
    model: str  # empty while available
    engine: str
    status: str  # a WorkerStatus
    capability: str  # text-gen, image-gen, audio-gen, video-gen, embedding
    devices: list[int]
    in_flight: int
    queue_depth: int  # of those in flight, how many wait inside the engine
    capacity: int  # tasks that it takes at once, waiting ones included
    vram_mib: int
    ttft_ms: int  # moving median of the time to the first token, 0 when unknown
    uptime_s: int
    pid: int
    error: str = ""  # why the last start failed
    progress: str = ""  # what a start is at, such as a download


class Heartbeat(Message, frozen=True):
    version: int
    hive: str
    name: str
    epoch: int  # Unix time in ms at which the process that runs tasks started; changes when it is replaced
    seq: int
    at_ms: int
    software: str
    draining: bool
    cpu_pct: int
    rss_mib: int
    devices: list[DeviceReport]
    workers: list[WorkerReport]
    receipts_waiting: int = 0  # in the spool, that the queen has not booked yet
    receipts_refused: int = 0  # in the spool, that it never will; kept for a person to look at


class Receipt(Message, frozen=True):
    """What one attempt used, as its engine counted it. Quantities are open-ended: prompt_tokens, cached_tokens,
    completion_tokens, engine_ms; later modalities add theirs."""

    version: int
    hive: str
    task: str
    attempt: int
    worker: str
    model: str
    engine: str
    outcome: str
    usage: dict[str, int]
    began_at_ms: int
    first_token_at_ms: int  # 0 when none came
    ended_at_ms: int
    frames: int
    envelope: bytes


class SignedReceipt(Message, frozen=True):
    payload: bytes  # msgpack of a Receipt; these exact bytes are signed
    signature: bytes  # Ed25519


class ReceiptBatch(Message, frozen=True):
    version: int
    receipts: list[SignedReceipt]


class RefusedReceipt(Message, frozen=True):
    task: str
    attempt: int
    code: (
        str  # bad_signature, bad_envelope, fenced: final, the hive keeps it aside and does not send it again
    )
    message: str


class ReceiptAnswer(Message, frozen=True):
    """A receipt named in neither list is sent again."""

    settled: list[str]  # task ids that are in the books, by this receipt or by one before it
    refused: list[RefusedReceipt]


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    token: str
    name: str
    public_key: str  # Ed25519, base64
    software: str
    devices: list[DeviceReport] = []


class RedisAccess(msgspec.Struct, frozen=True, kw_only=True):
    """`url` has the host `queen` where the hive is to use the host by which it reached the queen."""

    url: str
    username: str
    password: str
    prefix: str


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    hive: str
    name: str
    credential: str
    redis: RedisAccess


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that this hive is to run. `source`: `builtin:rbee-mini`, a path on the hive, or a Hugging Face id,
    optionally with a file: `hf:org/name[:file.gguf]`."""

    worker: str
    model: str
    engine: str
    source: str
    capability: str
    options: dict[str, str | int | float | bool] = {}


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is erased (Art. 17 GDPR): receipts that name `whose`, and that the queen refused, are to go."""

    id: str
    whose: str  # a tenant's id or an end user's pseudonym, in hex


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """`ids`: of what nothing is left here."""

    version: int
    ids: list[str]


class Placements(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    placements: list[Placement]
    forget: list[Forgetting] = []


def out_stream(queen: str) -> str:
    return f"out:{queen}"


def body_key(task: str, attempt: int) -> str:
    return f"body:{task}:{attempt}"


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_frames = msgspec.msgpack.Decoder(list[Frame]).decode
decode_body = msgspec.msgpack.Decoder(TaskBody).decode
decode_control = msgspec.msgpack.Decoder(Control).decode
decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode
decode_begun = msgspec.msgpack.Decoder(Begun).decode
decode_error = msgspec.msgpack.Decoder(TaskError).decode
decode_end = msgspec.msgpack.Decoder(End).decode
decode_receipt = msgspec.msgpack.Decoder(Receipt).decode
decode_receipt_batch = msgspec.msgpack.Decoder(ReceiptBatch).decode
decode_receipt_answer = msgspec.msgpack.Decoder(ReceiptAnswer).decode
