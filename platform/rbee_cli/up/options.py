"""What `rbee up` was asked for."""

from __future__ import annotations

import ipaddress
import os
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
    def local_url(self) -> str:
        return f"{self.scheme}://{self.local_host}:{self.port}"

    @property
    def public_url(self) -> str:
        """Where clients elsewhere reach the queen: RBEE_PUBLIC_URL, when the operator has set it."""
        return os.environ.get("RBEE_PUBLIC_URL", "").rstrip("/") or self.local_url
