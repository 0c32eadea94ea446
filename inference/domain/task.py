"""One inference request on its way through the queen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from billing.domain.pricing import PriceVersion, amount_micros
from billing.domain.units import PROMPT
from hive_agent.protocol import Endpoint, Outcome
from inference.domain.envelope import Envelope
from inference.domain.worker import WorkerView
from tenants.domain.limit_shape import SPEND

if TYPE_CHECKING:
    from tenants.domain.authentication import Caller

COMPLETION = "completion_tokens"

MakeEnvelope = Callable[[int, WorkerView], Envelope]  # attempt, who is to run it


class Task(msgspec.Struct, kw_only=True, eq=False):
    id: str  # UUIDv7 in hex
    request_id: str
    caller: Caller
    model: str
    endpoint: Endpoint
    stream: bool
    include_usage: bool  # the client asked for the usage chunk
    body: bytes  # the client's JSON
    prompt_tokens_estimate: int
    max_tokens: int  # the most that the answer may have; with the estimate, what is reserved
    answer_id: str  # `id` of the answer, e.g. chatcmpl-…
    created_s: int
    deadline_ms: int  # Unix time
    make_envelope: MakeEnvelope
    price: PriceVersion | None = None
    priority: str = "normal"  # among those of its tenant
    wait_for_model_s: float = 0  # how long its caller waits for a model that is being loaded
    subject: str = ""  # pseudonym of the end user
    is_subject_counted: bool = False  # what the end user takes, because a script looks at it
    session: str = ""  # pseudonym of what shares a prompt
    estimated_minutes: float = 0  # what the client says
    hold_micros: int = 0  # the most that it may cost, of a tenant whose money is limited
    slice_id: str = ""  # of the budget slice that holds it, once it is reserved

    @property
    def amounts(self) -> dict[str, int]:
        """The most that it may use, by unit; of what nobody can tell before, the least that there is. Money only where it
        costs any."""
        usage = {PROMPT: self.prompt_tokens_estimate, COMPLETION: self.max_tokens}
        amounts = {"requests": 1, "tokens": self.tokens_reserved, "gpu_seconds": 1}
        cost = amount_micros(self.price, usage, Outcome.COMPLETED) if self.price else 0
        return amounts | {SPEND: cost} if cost else amounts

    @property
    def tokens_reserved(self) -> int:
        return self.prompt_tokens_estimate + self.max_tokens
