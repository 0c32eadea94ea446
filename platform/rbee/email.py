"""Django's e-mail settings out of one URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TIMEOUT_S = 10
PORTS = {"starttls": 587, "tls": 465, "none": 25}


def email_settings(smtp_url: str) -> dict[str, Any]:
    """Without a URL nothing is sent: a message in a log would be one more place where its secret lies."""
    if not smtp_url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    parts = urlsplit(smtp_url)
    tls = parse_qs(parts.query).get("tls", ["starttls"])[0]
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or PORTS[tls],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": tls == "starttls",
        "EMAIL_USE_SSL": tls == "tls",
        "EMAIL_TIMEOUT": TIMEOUT_S,
    }
