"""The models that the colony offers. None is published without a price; a price of nothing must be said, except at home
where nobody is billed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec
from billing.domain.prices import set_price
from django.conf import settings
from django.db import IntegrityError
from django.utils.timezone import now

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from hive_agent import protocol
from inference import rules
from inference.domain import notices
from inference.domain.errors import InvalidInput, NameTaken, NotFound, checked
from inference.domain.hives import hive_named, joined_hives
from inference.domain.placements import place_model
from inference.enums import Capability, Engine
from inference.models import Hive, Model

MAX_PRICE_MICROS = 10**15  # for a million units


class NewModel(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says about a model; what is left out is guessed from `source`. `hives` None: the only one."""

    source: str
    name: str = ""
    engine: str = ""
    capability: str = ""
    hives: Sequence[str] | None = None
    options: Mapping[str, rules.Scalar] = {}
    prices: Mapping[str, int] = {}  # unit of usage to micro-units of the currency for a million of it
    currency: str = ""
    is_free: bool = False


def add_model(new: NewModel, *, actor: Actor) -> tuple[Model, bool]:
    """The model, and whether it is new. One that exists with the same source and engine is placed on further hives and
    takes a new price. Raises InvalidInput, NameTaken, NotFound."""
    wanted = _checked_model(new)
    hives = _wanted_hives(new.hives)
    try:
        with colony_tx("model added"):
            model = Model.objects.select_for_update().filter(name=wanted.name, removed_at=None).first()
            is_new = model is None
            if model is None:
                wanted.save(force_insert=True)
                model = wanted
                record("model.added", actor=actor, object_ref=_ref(model), details=_facts(model))
            elif not _is_same(model, wanted, new):
                raise _name_taken(wanted.name)
            _price(model, new, is_new, actor)
            for hive in hives:
                _place(model, hive, actor)
            notices.tell_queens("models")
    except IntegrityError:
        raise _name_taken(wanted.name) from None
    return model, is_new


def remove_model(model: Model, *, actor: Actor) -> None:
    """Its name answers 404 from here on; tasks that run on it end first. Raises NotFound."""
    with colony_tx("model removed"):
        model = Model.objects.select_for_update().filter(id=model.id, removed_at=None).first() or _no_model(
            model.name
        )
        model.removed_at = now()
        model.save(update_fields=["removed_at"])
        hives = [worker.hive for worker in model.workers.select_related("hive")]
        model.workers.all().delete()
        record("model.removed", actor=actor, object_ref=_ref(model), details={"name": model.name})
        notices.tell_queens("models")
        notices.tell_hives(hives, protocol.ControlKind.PLACEMENTS)


def unplace_model(model: Model, hive: Hive, *, actor: Actor) -> None:
    """The hive unloads it when what runs has ended. Raises NotFound when it is not placed there."""
    with colony_tx("model unplaced"):
        deleted, _ = model.workers.filter(hive=hive).delete()
        if not deleted:
            raise NotFound(f"{model.name} is not placed on {hive.name}", code="placement_not_found")
        record(
            "model.unplaced",
            actor=actor,
            object_ref=_ref(model),
            details={"name": model.name, "hive": hive.name},
        )
        notices.tell_queens("models")
        notices.tell_hives([hive], protocol.ControlKind.PLACEMENTS)


def models_in_catalog() -> list[Model]:
    return list(Model.objects.filter(removed_at=None).order_by("name"))


def model_named(name: str) -> Model:
    """Raises NotFound."""
    return Model.objects.filter(name=name, removed_at=None).first() or _no_model(name)


def _checked_model(new: NewModel) -> Model:
    source = checked("source", rules.source, new.source)
    engine = (
        checked("engine", Engine, new.engine) if new.engine else checked("source", rules.guess_engine, source)
    )
    options = checked("options", rules.options, dict(new.options))
    if new.capability:
        capability = checked("capability", Capability, new.capability)
    else:
        capability = rules.guess_capability(source)
    context_tokens = options.get("context_tokens")
    return Model(
        name=checked("name", rules.model_name, new.name or source.model_name),
        source=source.text,
        engine=engine,
        capability=capability,
        context_tokens=context_tokens if isinstance(context_tokens, int) else None,
        options=options,
    )


def _wanted_hives(names: Sequence[str] | None) -> list[Hive]:
    if names is not None:
        return [hive_named(name) for name in dict.fromkeys(names)]
    hives = joined_hives()
    if len(hives) == 1:
        return hives
    if not hives:
        raise InvalidInput("no hive has joined yet; let one join: rbee hive token", param="hives")
    raise InvalidInput(f"say on which hive: {', '.join(hive.name for hive in hives)}", param="hives")


def _is_same(model: Model, wanted: Model, new: NewModel) -> bool:
    return (model.source, model.engine) == (wanted.source, wanted.engine) and (
        not new.options or model.options == wanted.options
    )


def _price(model: Model, new: NewModel, is_new: bool, actor: Actor) -> None:
    if new.is_free and any(new.prices.values()):
        raise InvalidInput("a model is free or has prices, not both", param="prices")
    if not new.prices and not new.is_free:
        if not is_new:
            return
        if settings.RBEE.is_business:
            raise InvalidInput(
                f"{model.name} needs a price: give prices, or say that it is free: --free", param="prices"
            )
    prices = checked("prices", _price_list, dict(new.prices))
    set_price(
        model.name, prices, currency=new.currency or None, is_free=not any(prices.values()), actor=actor
    )


def _price_list(prices: dict[str, int]) -> dict[str, int]:
    for unit, micros in prices.items():
        if not rules.FIELD_NAME.fullmatch(unit):
            raise ValueError("a unit is named as in the usage, such as prompt_tokens or completion_tokens")
        if type(micros) is not int or not 0 <= micros <= MAX_PRICE_MICROS:
            raise ValueError(f"{unit} takes whole micro-units for a million, from 0 to {MAX_PRICE_MICROS}")
    return prices


def _place(model: Model, hive: Hive, actor: Actor) -> None:
    if place_model(model, hive) is not None:
        details = {"name": model.name, "hive": hive.name}
        record("model.placed", actor=actor, object_ref=_ref(model), details=details)


def _name_taken(name: str) -> NameTaken:
    return NameTaken(
        f"there is another model {name} already; choose another --name, or remove it first: rbee model remove {name}",
        param="name",
    )


def _no_model(name: str) -> NoReturn:
    raise NotFound(
        f"there is no model {name!r}; rbee model list shows those that there are", code="model_not_found"
    )


def _facts(model: Model) -> dict[str, object]:
    return rules.for_audit(
        name=model.name,
        source=model.source,
        engine=str(model.engine),
        capability=str(model.capability),
        options=model.options,
    )


def _ref(model: Model) -> str:
    return f"model:{model.id}"
