"""`GET /v1/models` and `GET /v1/models/{model}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from inference.api import errors
from inference.api.exchange import Exchange
from inference.domain.choice import may_ask_for
from inference.domain.offer import OWNER, OfferedModel

if TYPE_CHECKING:
    from inference.api.queen import Queen


class ModelObject(msgspec.Struct, frozen=True):
    id: str
    created: int  # Unix time
    owned_by: str
    type: str  # text, image, audio, video, embedding
    object: Literal["model"] = "model"


class ModelName(msgspec.Struct, frozen=True):
    id: str
    type: str


class ModelList(msgspec.Struct, frozen=True):
    """`data` is OpenAI's; `models` says the same in short."""

    data: list[ModelObject]
    models: list[ModelName]
    object: Literal["list"] = "list"


async def list_models(queen: Queen, exchange: Exchange) -> None:
    caller = await queen.authentication.caller_of(exchange)
    offered = [model for model in queen.offer.all() if may_ask_for(caller, model.name)]
    answer = ModelList(
        data=[_model_object(model) for model in offered],
        models=[ModelName(model.name, model.type) for model in offered],
    )
    await exchange.respond(_encode(answer))


async def show_model(queen: Queen, exchange: Exchange, name: str) -> None:
    caller = await queen.authentication.caller_of(exchange)
    model = queen.offer.find(name)
    if model is None or not may_ask_for(caller, name):
        raise errors.model_not_found(name)
    await exchange.respond(_encode(_model_object(model)))


def _model_object(model: OfferedModel) -> ModelObject:
    return ModelObject(id=model.name, created=model.created_s, owned_by=OWNER, type=model.type)


_encode = msgspec.json.Encoder().encode
