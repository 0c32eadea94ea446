"""Web pages of customers may call a business's API with a key: they carry no cookie that could be abused. At home there
is no CORS, because there the address alone opens the door."""

from __future__ import annotations

import re
from typing import Final

from inference.api.exchange import Exchange, Header

EXPOSED: Final = (
    b"x-request-id, retry-after, x-should-retry, openai-processing-ms, openai-version, "
    b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, "
    b"x-rbee-queue-ms, x-rbee-worker, x-rbee-policy, x-rbee-limit-warning, idempotent-replayed, original-request"
)
MAX_AGE_S: Final = b"600"

_HEADER_NAMES = re.compile(rb"[A-Za-z0-9, -]{0,2000}")


def headers_for(exchange: Exchange) -> tuple[Header, ...]:
    """Of every answer to a page's call that bears a key."""
    if b"origin" not in exchange.headers or b"authorization" not in exchange.headers:
        return ()
    return (
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    )


def is_preflight(exchange: Exchange) -> bool:
    headers = exchange.headers
    return (
        exchange.method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers
    )


async def answer_preflight(exchange: Exchange, allowed_methods: str) -> None:
    wanted = exchange.headers.get(b"access-control-request-headers", b"")
    names = wanted if _HEADER_NAMES.fullmatch(wanted) else b"authorization, content-type"
    await exchange.respond(
        b"",
        status=204,
        headers=(
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-methods", allowed_methods.encode()),
            (b"access-control-allow-headers", names or b"authorization, content-type"),
            (b"access-control-max-age", MAX_AGE_S),
            (b"vary", b"origin, access-control-request-headers"),
        ),
    )
