"""Ports: free ones, remembered ones, and who holds a busy one."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from rbee_cli.errors import UpFailed


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def remembered_port(path: Path, *, preferred: int = 0, host: str = "127.0.0.1") -> int:
    """The port written in `path` if it is free, else `preferred` if that is, else any; and write it down."""
    try:
        wanted = [int(path.read_text())]
    except (OSError, ValueError):
        wanted = []
    for port in (*wanted, preferred):
        if port and is_free(port, host):
            break
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
    path.write_text(f"{port}\n")
    return port


def insist_on(port: int, host: str = "127.0.0.1") -> None:
    if not is_free(port, host):
        raise UpFailed(f"port {port} is held by {holder_of(port)}")


def holder_of(port: int) -> str:
    """Who listens on `port`, in words: `nginx (pid 812)`, or `another process` where the system does not tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr[1:2] == (port,)
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another process"
