"""Asks the queen that we started whether it is ready, without the weight of an HTTP library."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rbee_cli.up.options import UpOptions


class QueenProbe:
    """`key` is a management key, for business mode."""

    def __init__(self, options: UpOptions, key: str | None = None) -> None:
        self.url = options.local_url  # by a name that the certificate has, when there is one
        self.key = key
        self.problem = ""  # why the last request got no 200
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if options.tls_cert:
            handlers.append(urllib.request.HTTPSHandler(context=_trust(options.tls_cert)))
        self._opener = urllib.request.build_opener(*handlers)

    def is_ready(self) -> bool:
        return self.get("/readyz") is not None

    def get(self, path: str) -> Any | None:
        """The JSON body of a 200, `{}` when that is not JSON, None for everything else."""
        request = urllib.request.Request(self.url + path)  # noqa: S310 -- our own queen
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        try:
            with self._opener.open(request, timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                self.problem = _message(error.read()) or f"it answers HTTP {error.code}"
            return None
        except (OSError, ValueError) as error:
            self.problem = f"it does not answer ({error})"
            return None
        try:
            return json.loads(body)
        except ValueError:
            return {}


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _trust(certificate: Path) -> ssl.SSLContext:
    """Believes the certificate that we gave the queen and no other; its name need not be this machine's."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
