"""The Lua scripts in `lua/`: each one a step that must happen as a whole, over all queen processes."""

from __future__ import annotations

import hashlib
from importlib.resources import files


class Script:
    __slots__ = ("name", "sha1", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = files(__package__).joinpath("lua", f"{name}.lua").read_bytes()
        self.sha1 = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


RESERVE_DISPATCH = Script("reserve_dispatch")
RELEASE = Script("release")
RENEW_LEASES = Script("renew_leases")
REGISTER = Script("register")
RELOAD = Script("reload")
LOAD_QUANTITIES = Script("load_quantities")
FUND_SLICE = Script("fund_slice")
DRAIN_SLICE = Script("drain_slice")
RELEASE_HOLDS = Script("release_holds")
IDEMPOTENCY_BEGIN = Script("idempotency_begin")
IDEMPOTENCY_FINISH = Script("idempotency_finish")
IDEMPOTENCY_HOLD = Script("idempotency_hold")
ALL = (
    RESERVE_DISPATCH,
    RELEASE,
    RENEW_LEASES,
    REGISTER,
    RELOAD,
    LOAD_QUANTITIES,
    FUND_SLICE,
    DRAIN_SLICE,
    RELEASE_HOLDS,
    IDEMPOTENCY_BEGIN,
    IDEMPOTENCY_FINISH,
    IDEMPOTENCY_HOLD,
)
