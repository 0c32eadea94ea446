"""Redis for the queen's hot path: one connection, many callers, one write for all that they ask in one turn of the loop.

Commands leave in the order in which they were called, over `call`, `send` and `run` alike, and Redis answers in that
order. So a command that another one relies on only has to be called before it.

While Redis is away every call fails at once with RedisDown, and so do those that had no answer yet: whether Redis did
what they asked is not known. Nothing is repeated here. The connection comes back by itself.

A command that blocks holds up all others: it needs a pipe of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from inference.transport.address import Address
from inference.transport.scripts import ALL, Script

Argument = bytes | str | int | float
Reply = asyncio.Future[Any]

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 5.0  # without any answer while some are awaited: the connection is dead
WATCH_INTERVAL_S = 1.0
FIRST_PAUSE_S = 0.02  # between attempts to connect, doubled up to
LAST_PAUSE_S = 0.5
MAX_WAITING = 100_000  # commands without an answer
MAX_UNSENT_BYTES = 64 << 20

_log = logging.getLogger(__name__)
_pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)


class RedisDown(Exception):
    """Redis cannot be reached, or the connection broke before the answer came."""


class RedisError(Exception):
    """What Redis answered in place of a reply, such as `WRONGTYPE …`."""


class ScriptMissing(RedisError):
    """Redis has forgotten the script."""


class RedisPipe:
    """`call`, `send` and `run` belong to the loop that `connect` ran on."""

    def __init__(self, url: str, *, name: str = "queen") -> None:
        """`name` is what Redis lists the connection as. Raises ValueError for a URL that is no Redis'."""
        self.address = Address.parse(url)
        self.name = name
        self._connection: _Connection | None = None
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self) -> None:
        """Raises RedisDown; otherwise the connection is kept from here on until `close`."""
        await self._open()
        self._keeper = asyncio.create_task(self._keep(), name=f"redis pipe {self.name}")

    async def close(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._connection:
            self._connection.drop("closed")

    def call(self, *args: Argument) -> Reply:
        """The reply, to be awaited: bytes, int, None, or a list of such; RedisError when Redis answers one. Raises
        RedisDown. Errors inside a list stay in the list."""
        return self._connected().ask(_pack(args))

    def send(self, *args: Argument) -> None:
        """For what nobody waits for: lost without a word while Redis is away; an error goes to the log."""
        if self._connection is not None:
            self._connection.tell(_pack(args))

    async def run(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
        """As `call`. Scripts are loaded with each connection; one that was flushed since is sent in full."""
        try:
            return await self.begin(script, keys, args)
        except ScriptMissing:
            return await self.begin(script, keys, args, in_full=True)

    def begin(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, in_full: bool = False
    ) -> Reply:
        """As `call`. Fails with ScriptMissing, having done nothing, when the script was flushed and not sent in full."""
        if in_full:
            return self.call(b"EVAL", script.text, len(keys), *keys, *args)
        return self.call(b"EVALSHA", script.sha1, len(keys), *keys, *args)

    def send_run(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument]) -> None:
        """As `send`."""
        self.send(b"EVALSHA", script.sha1, len(keys), *keys, *args)

    def _connected(self) -> _Connection:
        if self._connection is None:
            raise RedisDown(f"Redis at {self.address.name} cannot be reached")
        return self._connection

    async def _keep(self) -> None:
        while True:
            await self._lost.wait()
            _log.warning("Redis at %s is lost", self.address.name)
            await self._reopen()
            _log.warning("Redis at %s is back", self.address.name)

    async def _reopen(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._open()
            except RedisDown as error:
                _log.debug("%s", error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    async def _open(self) -> None:
        connection = _Connection(asyncio.get_running_loop(), self._on_lost)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await _connect(connection, self.address)
                await self._greet(connection)
        except (OSError, TimeoutError, RedisDown, RedisError) as error:
            connection.drop("it was not greeted")
            reason = str(error) or type(error).__name__
            raise RedisDown(f"Redis at {self.address.name} cannot be used: {reason}") from None
        except BaseException:
            connection.drop("it was not greeted")
            raise
        self._lost.clear()
        self._connection = connection

    async def _greet(self, connection: _Connection) -> None:
        commands: list[tuple[Argument, ...]] = []
        if self.address.password:
            user = (self.address.username,) if self.address.username else ()
            commands.append(("AUTH", *user, self.address.password))
        if self.address.database:
            commands.append(("SELECT", self.address.database))
        commands.append(("CLIENT", "SETNAME", self.name))
        commands += [("SCRIPT", "LOAD", script.text) for script in ALL]
        await asyncio.gather(*(connection.ask(_pack(command)) for command in commands))

    def _on_lost(self, connection: _Connection) -> None:
        if connection is self._connection:
            self._connection = None
            self._lost.set()


class _ProtocolError(Exception):
    pass


class _Connection(asyncio.Protocol):
    """One socket. Once lost it is never used again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[_Connection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._is_lost = False
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(protocolError=_ProtocolError, replyError=_reply_error)
        self._waiting: deque[Reply | None] = deque()  # None: nobody wants the reply
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._answers = 0
        self._answers_seen = 0
        self._silent_s = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def ask(self, command: bytes) -> Reply:
        self._queue(command)
        reply: Reply = self._loop.create_future()
        self._waiting.append(reply)
        return reply

    def tell(self, command: bytes) -> None:
        try:
            self._queue(command)
        except RedisDown as error:
            _log.warning("a command is dropped: %s", error)
        else:
            self._waiting.append(None)

    def drop(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._watch = self._loop.call_later(WATCH_INTERVAL_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "it was closed")

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self._answers += 1
                _resolve(waiting.popleft(), reply)
        except (_ProtocolError, IndexError) as error:
            self.drop(f"what came is not Redis' protocol: {error}")

    def _queue(self, command: bytes) -> None:
        if self._is_lost or self._transport is None:
            raise RedisDown("the connection to Redis was lost")
        if len(self._waiting) >= MAX_WAITING:
            raise RedisDown("Redis does not keep up: too many commands wait for it")
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self._unsent_bytes = sum(map(len, self._unsent)) + self._transport.get_write_buffer_size()
            if self._unsent_bytes > MAX_UNSENT_BYTES:
                raise RedisDown("Redis does not keep up: too many bytes wait for it")
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        self._unsent_bytes += len(command)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._is_lost or self._transport is None:
            return
        self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def _look(self) -> None:
        """Does Redis still answer?"""
        is_silent = bool(self._waiting) and self._answers == self._answers_seen
        self._silent_s = self._silent_s + WATCH_INTERVAL_S if is_silent else 0.0
        self._answers_seen = self._answers
        if self._silent_s >= ANSWER_TIMEOUT_S:
            self.drop(f"no answer for {ANSWER_TIMEOUT_S:.0f} s")
        else:
            self._watch = self._loop.call_later(WATCH_INTERVAL_S, self._look)

    def _end(self, reason: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        if self._watch:
            self._watch.cancel()
        self._on_lost(self)  # first: what a caller asks next fails too
        for reply in self._waiting:
            if reply is not None and not reply.done():
                reply.set_exception(RedisDown(f"the connection to Redis was lost: {reason}"))
        self._waiting.clear()


def _reply_error(message: str) -> RedisError:
    return ScriptMissing(message) if message.startswith("NOSCRIPT") else RedisError(message)


def _resolve(future: Reply | None, reply: object) -> None:
    if future is None:
        if isinstance(reply, RedisError):
            _log.warning("Redis refused a command that nobody waits for: %s", reply)
    elif future.done():
        return  # whoever asked was cancelled
    elif isinstance(reply, RedisError):
        future.set_exception(reply)
    else:
        future.set_result(reply)


async def _connect(connection: _Connection, address: Address) -> None:
    loop = asyncio.get_running_loop()
    if address.path:
        await loop.create_unix_connection(lambda: connection, address.path)
    elif address.tls:
        await loop.create_connection(
            lambda: connection, address.host, address.port, ssl=address.tls, server_hostname=address.host
        )
    else:
        await loop.create_connection(lambda: connection, address.host, address.port)
