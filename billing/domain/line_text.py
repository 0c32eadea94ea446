"""What a line of an invoice is for, in words."""

from __future__ import annotations

from billing.domain.rating import DISCOUNT, INCLUDED, MINIMUM, SUBSCRIPTION, TIER, RatedLine, Terms
from billing.domain.statement_lines import FORGIVEN, WAIVED

UNITS = {
    "prompt_tokens": "input tokens", "cached_tokens": "cached input tokens", "completion_tokens": "output tokens",
    "audio_ms": "milliseconds of audio", "video_ms": "milliseconds of video", "engine_ms": "milliseconds of GPU",
}  # fmt: skip
PARTS = {
    INCLUDED: "included in the subscription",
    TIER: "by its tiers, in place of the price above",
    DISCOUNT: "discount",
    SUBSCRIPTION: "subscription",
    MINIMUM: "up to the agreed minimum",
    WAIVED: "not charged: beyond what was held for the task",
    FORGIVEN: "not charged: more than the balance",
}


def words_of(line: RatedLine, terms: Terms, project: str) -> str:
    what = ", ".join(filter(None, [line.model, UNITS.get(line.unit, line.unit.replace("_", " "))]))
    part = PARTS.get(line.kind, "")
    if line.kind == DISCOUNT and terms.discount_bp:  # none: what an interim invoice took off is taken back
        part = f"{part} of {terms.discount_bp / 100:g}%"
    return ": ".join(filter(None, [project, what, part]))
