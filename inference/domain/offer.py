"""The models that the colony offers, as one queen process holds them: at most 5 s old."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from gdpr.threads import in_thread
from inference.domain.catalog import models_in_catalog
from inference.enums import Capability
from inference.models import Model

LOOK_S: Final = 5.0
OWNER: Final = "rbee"

_log = logging.getLogger(__name__)


class OfferedModel(msgspec.Struct, frozen=True):
    """`type` is that of `/v1/models`: text, image, audio, video, embedding."""

    name: str
    capability: str
    type: str
    context_tokens: int | None
    created_s: int


class Offer:
    """`watch` keeps it up to date; `reload_soon` is for the notice that something changed."""

    def __init__(self) -> None:
        self._models: dict[str, OfferedModel] = {}
        self._changed = asyncio.Event()

    def find(self, name: str) -> OfferedModel | None:
        return self._models.get(name)

    def knows(self, name: str) -> bool:
        return name in self._models

    def all(self) -> list[OfferedModel]:
        """By name."""
        return list(self._models.values())

    def reload_soon(self) -> None:
        self._changed.set()

    async def load(self) -> None:
        """Keeps what is known while the database does not answer."""
        try:
            models = await in_thread(models_in_catalog)()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
            _log.warning("the catalog could not be read, it stays as it was: %s", type(error).__name__)
            return
        self._models = {model.name: _offered(model) for model in models if model.published}

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), LOOK_S)
            except TimeoutError:
                pass
            self._changed.clear()
            await self.load()


def _offered(model: Model) -> OfferedModel:
    return OfferedModel(
        name=model.name,
        capability=model.capability,
        type=Capability(model.capability).model_type,
        context_tokens=model.context_tokens,
        created_s=int(model.created_at.timestamp()),
    )
