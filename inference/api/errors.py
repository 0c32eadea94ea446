"""OpenAI's error envelope, and every refusal of the lane in its words. `code` is a string or null, never a number."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from inference.domain.refusals import Refused


class ErrorFields(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(msgspec.Struct, frozen=True):
    error: ErrorFields


def envelope(message: str, kind: str, code: str | None, param: str | None = None) -> bytes:
    return _encode(ErrorEnvelope(ErrorFields(message, kind, param, code)))


def error_event(message: str, kind: str, code: str | None) -> bytes:
    """What ends a stream that broke: official clients raise on the first event, others wait for the second."""
    return b"data: " + envelope(message, kind, code) + b"\n\ndata: [DONE]\n\n"


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> Refused:
    return Refused(message, status=400, type="invalid_request_error", code=code, param=param)


def unknown_url(method: str, path: str) -> Refused:
    return Refused(
        f"Unknown request URL: {method} {_shown(path)}. Please check the URL for typos.",
        status=404,
        type="invalid_request_error",
        code="unknown_url",
    )


def method_not_allowed(method: str, allowed: str) -> Refused:
    return Refused(
        f"Not allowed to {_shown(method)} on this URL; use {allowed}.",
        status=405,
        type="invalid_request_error",
        code="method_not_allowed",
        headers={"allow": allowed},
    )


def no_key() -> Refused:
    return _unauthorized(
        "You didn't provide an API key. Provide it in an Authorization header: Authorization: Bearer YOUR_KEY."
    )


def wrong_key() -> Refused:
    return _unauthorized("Incorrect API key provided. It is unknown, expired or revoked.")


def account_suspended() -> Refused:
    return Refused(
        "The account of this key is suspended because something is not paid. Its owner finds open invoices at "
        "/api/v1/billing/invoices; once they are paid the account goes on.",
        status=402,
        type="insufficient_quota",
        code="account_suspended",
        headers={"x-should-retry": "false"},
    )


def consent_required(purposes: Collection[str]) -> Refused:
    """Of the account."""
    return _consent_required(
        f"The account of this key has not agreed to {', '.join(purposes)}. Its owner or data-protection officer does so by "
        f"POST /gdpr/consents/{min(purposes)}."
    )


def subject_consent_required(purposes: Collection[str], *, is_named: bool) -> Refused:
    if not is_named:
        return _consent_required(
            "End users of this account have to agree before anything of theirs is processed: name the end user by "
            "`safety_identifier` or `user`."
        )
    return _consent_required(
        f"The end user of this request has not agreed to {', '.join(purposes)}: POST /gdpr/consents/{min(purposes)}."
    )


def _consent_required(message: str) -> Refused:
    return Refused(
        message,
        status=403,
        type="permission_error",
        code="consent_required",
        headers={"x-should-retry": "false"},
    )


def subject_frozen() -> Refused:
    return Refused(
        "The end user of this request is being erased (Art. 17 GDPR): nothing of theirs is processed until that is done.",
        status=403,
        type="permission_error",
        code="subject_frozen",
        headers={"x-should-retry": "false"},
    )


def wrong_address() -> Refused:
    return _unauthorized("This API key may not be used from your IP address.", "ip_not_authorized")


def wrong_scope() -> Refused:
    return Refused(
        "This key may manage the service but not use its models: it lacks the scope 'inference'. "
        "Create one that has it: rbee key create --name NAME.",
        status=403,
        type="permission_error",
        code="wrong_scope",
    )


def too_large(limit_bytes: int) -> Refused:
    return Refused(
        f"The request body is larger than {limit_bytes >> 20} MiB.",
        status=413,
        type="invalid_request_error",
        code="request_too_large",
    )


def unsupported_encoding() -> Refused:
    return Refused(
        "Send the body without a Content-Encoding.",
        status=415,
        type="invalid_request_error",
        code="unsupported_content_encoding",
    )


def upload_stalled() -> Refused:
    return Refused(
        "The request body did not arrive in time.",
        status=408,
        type="invalid_request_error",
        code="request_timeout",
    )


def model_not_found(name: str) -> Refused:
    return Refused(
        f"The model '{_shown(name)}' does not exist or you do not have access to it.",
        status=404,
        type="invalid_request_error",
        code="model_not_found",
        param="model",
    )


def model_not_allowed(name: str) -> Refused:
    """For a key that leaves out what its tenant may use: that the model is there is no secret to its people."""
    return Refused(
        f"The model '{_shown(name)}' is not part of what this key may use.",
        status=403,
        type="permission_error",
        code="model_not_allowed",
        param="model",
    )


def unavailable(message: str, code: str = "service_unavailable") -> Refused:
    return Refused(message, status=503, type="service_unavailable", code=code, headers={"retry-after": "1"})


def internal_error() -> Refused:
    return Refused(
        "The server had an error while processing your request. Name its x-request-id when you ask about it.",
        status=500,
        type="server_error",
        code="internal_error",
    )


def _unauthorized(message: str, code: str = "invalid_api_key") -> Refused:
    return Refused(
        message,
        status=401,
        type="invalid_request_error",
        code=code,
        headers={"www-authenticate": "Bearer"},
    )


def _shown(text: str) -> str:
    """Short, and without what a terminal or a log would obey."""
    text = "".join(char if char.isprintable() else "?" for char in text[:200])
    return text.encode("utf-8", "replace").decode()


_encode = msgspec.json.Encoder().encode
