"""The audit log on its way to a SIEM, in its own order, by syslog over TCP or TLS.

Each entry arrives at least once. Syslog confirms nothing, so each batch is a connection: rbee ends its side, and the
receiver ends the other when it has read all of it. Only then the place is written down; a receiver that was away, or died
in between, gets the batch again. What has no place in the log yet waits for it.
"""

from __future__ import annotations

import hmac
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from gdpr.access_models import LogForward
from gdpr.domain import audit_formats as formats
from gdpr.domain.audit import Actor, record
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from gdpr.secrets import lasting

ACTOR: Final = Actor.system("siem")
BATCH: Final = 500
BUDGET_S: Final = 5.0  # of one run: the next goes on
TIMEOUT_S: Final = 5.0
SILENCE_S: Final = (
    60.0  # after a receiver that did not take them: other chores do not wait for it again so soon
)

_silent_until = 0.0
logger = logging.getLogger(__name__)


def forward_log() -> int:
    """Returns how many entries the receiver took. What it does not take stays for the next time."""
    global _silent_until
    if not settings.RBEE.siem_url or time.monotonic() < _silent_until:
        return 0
    receiver, taken, until = _receiver(), 0, time.monotonic() + BUDGET_S
    while time.monotonic() < until:
        place, entries = _next(receiver)
        if not entries:
            break
        try:
            send([_message(entry) for entry in entries])
        except OSError as error:
            logger.warning("the SIEM took nothing (%s): the next run tries again", type(error).__name__)
            _silent_until = time.monotonic() + SILENCE_S
            _note_failure(receiver)
            break
        _move(receiver, place, (entries[-1].seq or 0) + 1)
        taken += len(entries)
    return taken


def send(messages: Sequence[bytes]) -> None:
    """Framed by their length (RFC 6587, RFC 5425). Returns when the receiver has read them all. Raises OSError."""
    with _connection() as connection:
        for message in messages:
            connection.sendall(b"%d %s" % (len(message), message))
        _await_end(connection)


def _connection() -> socket.socket:
    url = urlsplit(settings.RBEE.siem_url)
    plain = socket.create_connection((url.hostname or "", url.port or 0), timeout=TIMEOUT_S)
    if url.scheme == "tcp":
        return plain
    try:
        context = ssl.create_default_context(cafile=settings.RBEE.siem_ca or None)
        return context.wrap_socket(plain, server_hostname=url.hostname)
    except BaseException:
        plain.close()
        raise


def _await_end(connection: socket.socket) -> None:
    """A receiver that is killed resets the connection; one that read to the end closes it."""
    if isinstance(connection, ssl.SSLSocket):
        try:
            connection = connection.unwrap()
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # it closed without saying good-bye, after ours
            return
    connection.shutdown(socket.SHUT_WR)
    until = time.monotonic() + TIMEOUT_S
    while connection.recv(4096):
        if time.monotonic() > until:
            raise TimeoutError("the receiver talks and does not end")


def _message(entry: AuditEntry) -> bytes:
    body = formats.cef_line if settings.RBEE.siem_format == "cef" else formats.json_line
    return formats.syslog_line(entry, host=formats.host_name(), body=body).encode()


def _receiver() -> str:
    """Another address begins with the first entry."""
    return hmac.digest(lasting("siem-receiver"), settings.RBEE.siem_url.encode(), "sha256")[:16].hex()


def _next(receiver: str) -> tuple[int, list[AuditEntry]]:
    with colony_tx("entries for the SIEM"):
        forward, _ = LogForward.objects.get_or_create(receiver=receiver)
        rows = AuditEntry.objects.filter(seq__gte=forward.next_seq).order_by("seq")
        return forward.next_seq, list(rows[:BATCH])


def _move(receiver: str, place: int, next_seq: int) -> None:
    """Unless another process moved it meanwhile, which has sent the same."""
    with colony_tx("what the SIEM took"):
        forward = LogForward.objects.select_for_update().get(receiver=receiver)
        if forward.next_seq != place:
            return
        if forward.failed_at is not None:
            record("log_forward.resumed", actor=ACTOR, object_ref=f"siem:{receiver}")
        forward.next_seq, forward.forwarded_at, forward.failed_at = next_seq, timezone.now(), None
        forward.save(update_fields=["next_seq", "forwarded_at", "failed_at"])


def _note_failure(receiver: str) -> None:
    """Once, until it takes them again."""
    with colony_tx("the SIEM is away"):
        forward = LogForward.objects.select_for_update().get(receiver=receiver)
        if forward.failed_at is None:
            forward.failed_at = timezone.now()
            forward.save(update_fields=["failed_at"])
            record("log_forward.failed", actor=ACTOR, object_ref=f"siem:{receiver}", outcome="failed")
