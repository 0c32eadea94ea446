"""A syslog receiver on loopback, as SIEMs have them: messages framed by their length, over TCP or TLS. It can go away, and die
in the middle of a batch."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RESET = struct.pack("ii", 1, 0)


class Receiver:
    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.messages: list[bytes] = []
        self.dies_after: int | None = None  # so many messages of the next connection
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        dies_after, self.dies_after = self.dies_after, None
        connection.settimeout(10)
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        with connection, connection.makefile("rb") as stream:
            count = 0
            while (length := _length(stream)) is not None:
                if count == dies_after:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                self.messages.append(stream.read(length))
                count += 1


def _length(stream: object) -> int | None:
    digits = b""
    while (char := stream.read(1)) and char != b" ":  # type: ignore[attr-defined]
        digits += char
    return int(digits) if digits else None


@contextmanager
def receiving(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver(context, port)
    try:
        yield receiver
    finally:
        with contextlib.suppress(OSError):
            receiver.stop()
