"""What `reject(message, code)` may name, with the HTTP status and the type that the client sees."""

from __future__ import annotations

from typing import Final

REJECTION_CODES: Final[dict[str, tuple[int, str]]] = {
    "policy_rejected": (403, "permission_error"),
    "model_not_allowed": (403, "permission_error"),
    "consent_required": (403, "permission_error"),
    "region_not_allowed": (403, "permission_error"),
    "invalid_value": (400, "invalid_request_error"),
    "context_length_exceeded": (400, "invalid_request_error"),
    "model_not_found": (404, "invalid_request_error"),
    "rate_limit_exceeded": (429, "rate_limit_error"),
    "insufficient_quota": (429, "insufficient_quota"),
    "quota_exceeded": (429, "insufficient_quota"),
    "no_workers": (503, "service_unavailable"),
    "model_loading": (503, "service_unavailable"),
    "worker_error": (500, "server_error"),
}
QUOTA_MESSAGE: Final = "Quota exceeded"


def code_of(message: str, code: str | None) -> str:
    """The code of a rejection: the one that it names, else the one that its message stands for."""
    return code or ("quota_exceeded" if message == QUOTA_MESSAGE else "policy_rejected")
