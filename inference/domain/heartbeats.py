"""What hives said of themselves last. For people who look; routing keeps its own view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
import redis

from hive_agent import protocol
from inference.domain.errors import RedisUnreachable
from inference.domain.notices import redis_client
from inference.enums import HiveState
from inference.models import Hive

EPOCH_KEY = "rbee:epoch"


class Seen(NamedTuple):
    heartbeat: protocol.Heartbeat
    age_s: float  # by Redis's clock: that of the hive may be wrong

    @property
    def state(self) -> HiveState:
        return HiveState.SILENT if self.age_s > protocol.SILENT_S else HiveState.ONLINE


def read_heartbeats(hives: Sequence[Hive]) -> dict[UUID, Seen]:
    """Hives without one are offline and left out. Raises RedisUnreachable."""
    if not hives:
        return {}
    keys = [f"{hive.prefix}state" for hive in hives]
    try:
        pipe = redis_client().pipeline(transaction=False)
        pipe.mget(keys)
        for key in keys:
            pipe.pttl(key)
        states, *left_ms = pipe.execute()
    except redis.RedisError as error:
        raise RedisUnreachable(f"Redis does not answer: {error}") from error
    found = {}
    for hive, state, left in zip(hives, states, left_ms, strict=True):
        if state is not None and (heartbeat := _decoded(state)) is not None:
            age_s = max(0.0, protocol.HEARTBEAT_EXPIRY_S - left / 1000) if left >= 0 else 0.0
            found[hive.id] = Seen(heartbeat, round(age_s, 3))
    return found


def read_epoch() -> str | None:
    """None while the colony recovers from the loss of Redis. Raises RedisUnreachable."""
    try:
        epoch = redis_client().get(EPOCH_KEY)
    except redis.RedisError as error:
        raise RedisUnreachable(f"Redis does not answer: {error}") from error
    return epoch.decode("utf-8", "replace") if isinstance(epoch, bytes) else None


def _decoded(state: bytes) -> protocol.Heartbeat | None:
    """None for what a hive of another version wrote."""
    try:
        return protocol.decode_heartbeat(state)
    except msgspec.MsgspecError:
        return None
