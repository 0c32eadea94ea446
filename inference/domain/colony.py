"""The hives and workers as this process sees them, from their heartbeats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from inference.transport.resp import RedisPipe


class HiveInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says of a hive."""

    id: str  # hex
    name: str
    prefix: str  # of its keys in Redis
    region: str = ""
    labels: Mapping[str, str | int | float | bool] = {}


LoadHives = Callable[[], Awaitable[Mapping[str, HiveInfo]]]  # by id


class WorkerView:
    id: str
    hive_id: str
    hive: str  # name
    model: str
    status: str
    capability: str
    region: str
    tier: str
    in_flight: int
    capacity: int
    record: Any  # rhai_py.Record, always up to date


class Colony:
    def __init__(self, pipe: RedisPipe, load_hives: LoadHives) -> None:
        raise NotImplementedError

    workers: list[WorkerView]

    async def start(self) -> None:
        """Load the hives, look once, and go on looking each 0.5 s."""

    async def stop(self) -> None: ...

    def reload_hives(self) -> None:
        """Soon: on the message `hives` of rbee:invalidate."""

    def candidates(self, model: str, endpoint: str) -> list[WorkerView]:
        """Who may get a task for `model` at once."""
        raise NotImplementedError

    def is_loading(self, model: str) -> bool:
        raise NotImplementedError
