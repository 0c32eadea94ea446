"""A queen as small as the protocol allows: it joins hives, places workers, hands out tasks through stock Celery, reads
frames, and books receipts whose signatures hold."""

import base64
import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from celery import Celery
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hive_agent import protocol as wire
from tests.hive_agent.redis_server import PASSWORD, RedisServer

HIVE = uuid.uuid4().hex
PREFIX = f"h:{HIVE}:"
TOKEN = "good-for-one-join"
CREDENTIAL = "credential-of-the-hive"
REDIS_PASSWORD = "p@ss/word of the hive"


@dataclass
class Reply:
    """The frames of one attempt, in the order of their coming."""

    frames: list[wire.Frame] = field(default_factory=list)

    def of(self, *kinds: wire.FrameKind) -> list[wire.Frame]:
        return [frame for frame in self.frames if frame.kind in kinds]

    @property
    def begun(self) -> wire.Begun | None:
        found = self.of(wire.FrameKind.BEGUN)
        return wire.decode_begun(found[0].data) if found else None

    @property
    def end(self) -> wire.End | None:
        found = self.of(wire.FrameKind.END)
        return wire.decode_end(found[0].data) if found else None

    @property
    def error(self) -> wire.TaskError | None:
        found = self.of(wire.FrameKind.ERROR, wire.FrameKind.REFUSED)
        return wire.decode_error(found[0].data) if found else None

    @property
    def is_refused(self) -> bool:
        return bool(self.of(wire.FrameKind.REFUSED))

    @property
    def text(self) -> bytes:
        return b"".join(frame.data for frame in self.of(wire.FrameKind.CHUNK))

    @property
    def result(self) -> Any:
        return json.loads(self.of(wire.FrameKind.RESULT)[0].data)

    def chunks(self) -> list[Any]:
        events = [part.removeprefix(b"data: ") for part in self.text.split(b"\n\n") if part]
        assert events[-1] == b"[DONE]"
        return [json.loads(event) for event in events[:-1]]

    def check_numbers(self) -> None:
        numbered = self.of(wire.FrameKind.CHUNK, wire.FrameKind.RESULT, wire.FrameKind.ERROR)
        assert [frame.seq for frame in numbered] == list(range(len(numbered)))
        ends = self.of(wire.FrameKind.END)
        assert [frame.seq for frame in ends] == [len(numbered)] * len(ends)


class Queen:
    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.name = uuid.uuid4().hex[:8]
        self.placements: list[wire.Placement] = []
        self.public_key: Ed25519PublicKey | None = None
        self.receipts: list[wire.Receipt] = []
        self.is_down = False
        self.refuse: Callable[[wire.Receipt], str] = lambda receipt: ""
        self.forged = 0
        self.replies: dict[tuple[str, int], Reply] = defaultdict(Reply)
        self.position = "0-0"
        self.is_reading = True
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.threads = [
            threading.Thread(target=self.http.serve_forever, daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]
        self.celery = Celery(broker=f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0", set_as_current=False)
        self.celery.conf.broker_transport_options = {"global_keyprefix": PREFIX}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def start(self) -> None:
        self.let_hive_in()
        self.open_stream()
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.is_reading = False
        self.http.shutdown()
        self.http.server_close()
        for thread in self.threads:
            thread.join()
        self.celery.close()

    def let_hive_in(self) -> None:
        """What the queen's ACL gives a hive, as narrow as it may ever be."""
        with self.server.client() as redis:
            redis.execute_command(
                "ACL", "SETUSER", HIVE, "reset", "on", f">{REDIS_PASSWORD}", f"~{PREFIX}*", "resetchannels",
                "+@all", "-@dangerous", "-@admin", "-scan", "-keys", "+info",
            )  # fmt: skip

    def open_stream(self) -> None:
        with self.server.client() as redis:
            key = PREFIX + wire.out_stream(self.name)
            redis.xadd(key, {wire.FRAMES_FIELD: wire.encode([])})
            redis.xtrim(key, maxlen=0, approximate=False)

    def close_stream(self) -> None:
        with self.server.client() as redis:
            redis.delete(PREFIX + wire.out_stream(self.name))

    def ask(
        self,
        request: dict[str, Any],
        *,
        worker: str,
        endpoint: wire.Endpoint = wire.Endpoint.CHAT,
        stream: bool = True,
        include_usage: bool = False,
        deadline_s: float = 60,
        task: str | None = None,
        attempt: int = 1,
        deliveries: int = 1,
        store_body: bool = True,
    ) -> "Asked":
        task = task or uuid.uuid4().hex
        deadline_ms = int((time.time() + deadline_s) * 1000)
        body = wire.TaskBody(
            version=wire.VERSION,
            task=task,
            attempt=attempt,
            queen=self.name,
            worker=worker,
            model="the-model",
            endpoint=endpoint,
            stream=stream,
            include_usage=include_usage,
            deadline_ms=deadline_ms,
            created_s=1700000000,
            answer_id=f"chatcmpl-{task}",
            request=json.dumps(request).encode(),
            envelope=b"sealed " + task.encode(),
        )
        if store_body:
            with self.server.client() as redis:
                redis.set(
                    PREFIX + wire.body_key(task, attempt), wire.encode(body), px=int(deadline_s * 1000) + 1000
                )
        for _ in range(deliveries):
            self.celery.send_task(
                wire.RUN_TASK, args=[task, attempt, deadline_ms], queue=wire.TASKS_QUEUE, ignore_result=True
            )
        return Asked(self, task, attempt)

    def tell(self, control: wire.Control) -> None:
        with self.server.client() as redis:
            redis.xadd(PREFIX + "control", {"c": wire.encode(control)}, maxlen=10_000)

    def heartbeat(self) -> wire.Heartbeat | None:
        with self.server.client() as redis:
            content = redis.get(PREFIX + "state")
        return wire.decode_heartbeat(content) if content else None

    def worker(self, worker: str) -> wire.WorkerReport | None:
        beat = self.heartbeat()
        return next((each for each in beat.workers if each.id == worker), None) if beat else None

    def wait_ready(self, worker: str, timeout_s: float = 30) -> wire.WorkerReport:
        return wait_for(
            lambda: (report := self.worker(worker)) is not None and report.status == "ready" and report,
            timeout_s,
        )

    def wait_receipt(self, task: str, timeout_s: float = 15) -> wire.Receipt:
        return wait_for(lambda: next((each for each in self.receipts if each.task == task), None), timeout_s)

    def book(self, batch: wire.ReceiptBatch) -> wire.ReceiptAnswer:
        assert self.public_key is not None
        settled, refused = [], []
        for signed in batch.receipts:
            try:
                self.public_key.verify(signed.signature, signed.payload)
            except InvalidSignature:
                self.forged += 1
                continue
            receipt = wire.decode_receipt(signed.payload)
            if code := self.refuse(receipt):
                refused.append(wire.RefusedReceipt(receipt.task, receipt.attempt, code, "no"))
                continue
            if not any(each.task == receipt.task for each in self.receipts):
                self.receipts.append(receipt)
            settled.append(receipt.task)
        return wire.ReceiptAnswer(settled, refused)

    def _read(self) -> None:
        import redis

        while self.is_reading:
            try:
                with self.server.client() as client:
                    self._read_some(client)
            except redis.RedisError:
                self.position = "0-0"
                time.sleep(0.05)

    def _read_some(self, client: Any) -> None:
        key = PREFIX + wire.out_stream(self.name)
        for _, entries in client.xread({key: self.position}, block=50) or []:
            for entry_id, fields in entries:
                self.position = entry_id
                for frame in wire.decode_frames(fields[wire.FRAMES_FIELD]):
                    self.replies[(frame.task, frame.attempt)].frames.append(frame)


@dataclass
class Asked:
    queen: Queen
    task: str
    attempt: int

    @property
    def reply(self) -> Reply:
        return self.queen.replies[(self.task, self.attempt)]

    def wait(self, timeout_s: float = 20) -> Reply:
        """Until it ended or was refused."""
        wait_for(lambda: self.reply.of(wire.FrameKind.END, wire.FrameKind.REFUSED), timeout_s)
        self.reply.check_numbers()
        return self.reply

    def wait_text(self, timeout_s: float = 20) -> None:
        wait_for(lambda: self.reply.text.count(b"content") > 1, timeout_s)

    def receipt(self, timeout_s: float = 15) -> wire.Receipt:
        receipt = self.queen.wait_receipt(self.task, timeout_s)
        assert receipt.envelope == b"sealed " + self.task.encode()
        return receipt

    def cancel(self, outcome: wire.Outcome = wire.Outcome.CLIENT_CANCELLED) -> None:
        self.queen.tell(wire.Control(wire.ControlKind.CANCEL, self.task, self.attempt, outcome))


def wait_for(condition: Callable[[], Any], timeout_s: float = 10) -> Any:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"did not happen within {timeout_s} s")


def _handler(queen: Queen) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if queen.is_down:
                return self._error(503, "the queen is being restarted")
            if self.path != "/hive/v1/placements" or not self._is_hive():
                return self._error(401, "who is that")
            placements = wire.Placements(version=wire.VERSION, placements=queen.placements)
            return self._answer(200, msgspec.json.encode(placements))

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if queen.is_down:
                return self._error(503, "the queen is being restarted")
            if self.path == "/hive/v1/join":
                return self._join(msgspec.json.decode(content, type=wire.JoinRequest))
            if self.path != "/hive/v1/receipts" or not self._is_hive():
                return self._error(401, "who is that")
            return self._answer(200, wire.encode(queen.book(wire.decode_receipt_batch(content))))

        def _join(self, request: wire.JoinRequest) -> None:
            if request.token != TOKEN:
                return self._error(
                    403, "this token is used up, expired or unknown: make one with `rbee hive token`"
                )
            queen.public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(request.public_key))
            access = wire.RedisAccess(
                url=queen.server.url.replace("127.0.0.1", "queen"),
                username=HIVE,
                password=REDIS_PASSWORD,
                prefix=PREFIX,
            )
            answer = wire.JoinAnswer(
                version=wire.VERSION, hive=HIVE, name=request.name, credential=CREDENTIAL, redis=access
            )
            return self._answer(200, msgspec.json.encode(answer))

        def _is_hive(self) -> bool:
            return self.headers["Authorization"] == f"Bearer {CREDENTIAL}"

        def _error(self, status: int, message: str) -> None:
            error = {"message": message, "type": "invalid_request_error", "param": None, "code": "refused"}
            self._answer(status, json.dumps({"error": error}).encode())

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
