"""What the queen refuses before a task is dispatched, and how that reaches the client.

Refused
├── Rejected        a script's reject(), with the status of its code
├── NoWorkers       503  nobody may serve this task: no_workers, or model_loading
│   └── NoEligibleRegion    nobody is where the customer's tasks must stay
└── PolicyFailed    500  a script broke; it fails closed
"""

from __future__ import annotations

from typing import Final

from inference.enums import LeftBecause
from rbee_policy.asking import Rejection, ScriptBroke
from rbee_policy.codes import REJECTION_CODES

RETRY_AFTER_S: Final = 2


class Refused(Exception):
    """`status`, `type`, `code`, `param` and the message are those of the OpenAI envelope."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str,  # noqa: A002 - the envelope's word
        code: str,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.headers = headers or {}


class Rejected(Refused):
    """`by`: whose script."""

    def __init__(self, rejection: Rejection, by: LeftBecause) -> None:
        status, kind = REJECTION_CODES[rejection.code]
        super().__init__(
            rejection.message,
            status=status,
            type=kind,
            code=rejection.code,
            headers=_retry_headers(status, kind),
        )
        self.by = by


class NoWorkers(Refused):
    def __init__(self, model: str, *, is_loading: bool = False, is_busy: bool = False) -> None:
        if is_loading:
            message = f"The model '{model}' is being loaded; try again in a moment."
        elif is_busy:
            message = f"All workers for the model '{model}' are busy; try again in a moment."
        else:
            message = f"No worker is available for the model '{model}'."
        super().__init__(
            message,
            status=503,
            type="service_unavailable",
            code="model_loading" if is_loading else "no_workers",
            headers={"retry-after": str(RETRY_AFTER_S)},
        )
        self.is_loading = is_loading
        self.is_busy = is_busy


class NoEligibleRegion(NoWorkers):
    def __init__(self, model: str, region: str) -> None:
        super().__init__(model)
        self.code = "no_eligible_region"
        self.message = f"No worker in the region {region} is available for the model '{model}'."


class PolicyFailed(Refused):
    """What went wrong is in the log of the queen, with line and column. `broke` is None where the operator's script never
    compiled."""

    def __init__(self, by: LeftBecause, broke: ScriptBroke | None) -> None:
        super().__init__(
            "The policy of this service failed to decide.",
            status=500,
            type="server_error",
            code="policy_error",
            headers={"x-should-retry": "false"},
        )
        self.by = by
        self.broke = broke


def _retry_headers(status: int, kind: str) -> dict[str, str]:
    """A quota will not have come back in a moment, a rate or a worker may."""
    if kind == "insufficient_quota":
        return {"x-should-retry": "false"}
    if status in {429, 503}:
        return {"retry-after": str(RETRY_AFTER_S)}
    return {}
