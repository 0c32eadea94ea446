"""An Ed25519 key behind the protocol of AWS KMS, over HTTP. moto, which speaks it for other keys, has no such curve."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY = "alias/rbee-audit"


class KmsServer(ThreadingHTTPServer):
    """`refuses`: with this code; `signs_by`: another key than the one that it shows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.private = Ed25519PrivateKey.generate()
        self.signs_by: Ed25519PrivateKey | None = None
        self.is_nist = False
        self.refuses = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, action: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refuses:
            return 400, {"__type": self.refuses, "message": "no"}
        if asked.get("KeyId") != KEY:
            return 400, {"__type": "NotFoundException", "message": "no such key"}
        if action == "TrentService.GetPublicKey":
            public = (
                ec.generate_private_key(ec.SECP256R1()).public_key()
                if self.is_nist
                else self.private.public_key()
            )
            der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return 200, {"KeyId": KEY, "PublicKey": base64.b64encode(der).decode()}
        wanted = {"MessageType": "RAW", "SigningAlgorithm": "ED25519_SHA_512"}
        message = base64.b64decode(asked["Message"])
        if action != "TrentService.Sign" or not wanted.items() <= asked.items() or len(message) > 4096:
            return 400, {"__type": "ValidationException", "message": "not so"}
        signature = (self.signs_by or self.private).sign(message)
        return 200, {"KeyId": KEY, "Signature": base64.b64encode(signature).decode()}


class _Handler(BaseHTTPRequestHandler):
    server: KmsServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.answer(self.headers["X-Amz-Target"], asked)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[KmsServer]:
    server = KmsServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
