"""A real SMTP server that keeps what it is given."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller

from tests.system import free_port


class Inbox:
    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []
        self.port = free_port()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=default)
        self.messages += [(to, message) for to in envelope.rcpt_tos]
        return "250 OK"

    def text_to(self, address: str) -> str:
        """Of the newest message to them."""
        found = [message for to, message in self.messages if to == address]
        assert found, f"no message to {address}; there are some to {[to for to, _ in self.messages]}"
        body = found[-1].get_body(("plain",))
        return str(body.get_content())

    def code_to(self, address: str) -> str:
        """The code that they are to type in."""
        (code,) = re.findall(r"^([A-Z0-9-]{6,12})\s*$", self.text_to(address), re.MULTILINE)
        return code


@contextmanager
def smtp_server() -> Iterator[Inbox]:
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=inbox.port)
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()
