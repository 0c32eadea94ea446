"""The embedded Redis: counters, queues and token streams. It keeps nothing on disk, so prompts never reach one,
not for a replica that somebody attaches either; and it remembers no commands, which have prompts among their arguments."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from rbee_cli.errors import UpFailed
from rbee_cli.up import binaries, ports
from rbee_cli.up.accounts import service_account
from rbee_cli.up.folders import make_folders, make_secret, own_folder, read_secret
from rbee_cli.up.process import Process

CONFIGURATION = """\
bind {bind}
port {port}
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
repl-diskless-sync yes
slowlog-log-slower-than -1
crash-log-enabled no
protected-mode yes
daemonize no
loglevel notice
"""


class Redis:
    """A server of its own in `data_dir`/redis. `host` is a further address to listen on, for hives elsewhere."""

    def __init__(self, data_dir: Path, *, host: str = "127.0.0.1", preferred_port: int = 0) -> None:
        self.account = service_account()
        self.folders = make_folders(data_dir, self.account)
        self.host = host
        self.preferred_port = preferred_port
        self.port = 0
        self.password = read_secret(self.folders, "redis") or make_secret(self.folders, "redis")
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """Full access, as the default user."""
        return f"redis://default:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        own_folder(self.folders.redis, self.account)
        port_file = self.folders.run / "redis.port"
        self.port = ports.remembered_port(port_file, preferred=self.preferred_port, host=self._probe)
        program = binaries.redis_program(self.folders.lib, self.account)
        self.process = Process(
            "redis",
            [program, self._write_configuration()],
            log=self.folders.log("redis"),
            env={"LANG": "C.UTF-8", "PATH": os.defpath},
            cwd=self.folders.redis,
            account=self.account,
        )
        self.process.start()

    def respawn(self) -> Process:
        """After its end, where everyone expects it: on the same port."""
        assert self.process is not None
        ports.insist_on(self.port, self._probe)
        self.process.start()
        return self.process

    def wait_ready(self, timeout_s: float = 10) -> None:
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if not self.process.is_running or time.monotonic() > deadline:
                raise UpFailed(
                    f"Redis did not start; its log is {self.process.log}", detail=self.process.last_lines()
                )
            time.sleep(0.01)

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH default {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (piece := connection.recv(256)):
                    answer += piece
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def stop(self, timeout_s: float = 3) -> None:
        if self.process:
            self.process.stop(timeout_s)

    @property
    def _probe(self) -> str:
        return self.host if self.host in ("0.0.0.0", "::") else "127.0.0.1"

    def _write_configuration(self) -> Path:
        """A file, because a password among the arguments is there for everyone to read."""
        path = self.folders.redis / "redis.conf"
        text = CONFIGURATION.format(bind=bind_addresses(self.host), port=self.port, password=self.password)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)
        return path


def bind_addresses(host: str) -> str:
    """For Redis' `bind`: loopback always, and `host` as well. An address with `-` before it may be missing."""
    if host in ("0.0.0.0", "::"):
        return "0.0.0.0 -::"
    addresses = ["127.0.0.1"]
    for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        address = str(entry[4][0])
        if address not in addresses and address != "::1":
            addresses.append(address)
    return " ".join(addresses)
