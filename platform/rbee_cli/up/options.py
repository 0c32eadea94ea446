"""What `rbee up` was asked for."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 7833


@dataclass(frozen=True)
class UpOptions:
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    business: bool = False
    hive: bool = True
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_name: str = ""  # a host that the certificate is valid for

    @property
    def mode(self) -> str:
        return "business" if self.business else "home"

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert else "http"

    @property
    def local_host(self) -> str:
        """Where this machine reaches what listens on `host`."""
        if self.tls_name:
            return f"[{self.tls_name}]" if ":" in self.tls_name else self.tls_name
        if self.host in {"0.0.0.0", "localhost"}:
            return "127.0.0.1"
        return "[::1]" if self.host == "::" else f"[{self.host}]" if ":" in self.host else self.host

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_wildcard(self) -> bool:
        return self.host in {"0.0.0.0", "::"}

    @property
    def is_in_clear(self) -> bool:
        """Other machines can reach it, and whoever is on the way can read along."""
        return not self.is_loopback and self.tls_cert is None

    @property
    def local_url(self) -> str:
        return f"{self.scheme}://{self.local_host}:{self.port}"

    @property
    def public_url(self) -> str:
        """Where clients and hives elsewhere reach the queen: RBEE_PUBLIC_URL, when the operator has set it."""
        if chosen := os.environ.get("RBEE_PUBLIC_URL", "").rstrip("/"):
            return chosen
        if self.is_wildcard and not self.tls_name:
            return f"{self.scheme}://{own_address()}:{self.port}"
        return self.local_url


def own_address() -> str:
    """This machine's address towards others; loopback when it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of no machine: only the route to it is looked up
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
