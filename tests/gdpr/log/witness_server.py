"""A witness as C2SP tlog-witness has it, over HTTP: it remembers the newest checkpoint of one log, and signs what follows."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.note import NoteRefused, VerifyKey, signature_line
from gdpr.log.tree import EMPTY_ROOT, verify_consistency
from gdpr.log.witness import WitnessKey

NAME = "witness.example/w1"


class WitnessServer(ThreadingHTTPServer):
    """`signs_by`: another key than its own; `answers`: this status, whatever it is asked."""

    def __init__(self, log: VerifyKey) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log = log
        self.private = Ed25519PrivateKey.generate()
        self.signs_by: Ed25519PrivateKey | None = None
        self.answers = 0
        self.newest = Checkpoint(log.name, 0, EMPTY_ROOT)
        self.asked = 0

    @property
    def key(self) -> WitnessKey:
        return WitnessKey(NAME, self.private.public_key().public_bytes_raw())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/submit/"

    def answer(self, path: str, body: bytes) -> tuple[int, str]:
        self.asked += 1
        if self.answers or path != "/submit/add-checkpoint":
            return self.answers or 404, ""
        head, _, note = body.decode().partition("\n\n")
        old, *proof = head.split("\n")
        try:
            checkpoint = open_checkpoint(note, [self.log])
        except NoteRefused:
            return 403, ""
        size = int(old.removeprefix("old "))
        if size > checkpoint.size:
            return 400, ""
        if size != self.newest.size:
            return 409, f"{self.newest.size}\n"
        hashes = [base64.b64decode(line) for line in proof]
        if size and not verify_consistency(size, checkpoint.size, hashes, self.newest.root, checkpoint.root):
            return (409, "") if size == checkpoint.size else (422, "")
        self.newest = checkpoint
        at = int(time.time())
        text = note[: note.rfind("\n\n") + 1]
        signature = (self.signs_by or self.private).sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        others = signature_line("witness.example/other", b"xxxx" + bytes(72))
        return 200, others + signature_line(NAME, self.key.id + at.to_bytes(8, "big") + signature)


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer

    def do_POST(self) -> None:
        status, said = self.server.answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
        body = said.encode()
        self.send_response(status)
        if status == 409:
            self.send_header("Content-Type", "text/x.tlog.size")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def witnessing(log: VerifyKey) -> Iterator[WitnessServer]:
    server = WitnessServer(log)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
