"""The models that the colony offers. None is published without a price; a price of nothing must be said, except at home
where nobody is billed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec
from django.conf import settings
from django.db import IntegrityError
from django.utils.timezone import now

from billing.domain.prices import NoPrice, require_price, set_price, versions_in_force
from billing.domain.pricing import ANY_MODEL
from billing.domain.units import PriceRefused
from billing.models import Price, PriceCard
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
from tenants.domain.invalidation import announce_after_commit


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
    """The model, and whether it is new. One that exists with the same source and engine, or is named in place of a
    source, is placed on further hives and takes a new price. Raises InvalidInput, NameTaken, NotFound."""
    new = _resolved(new)
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
            _set_price(model, new, is_new, actor)
            for hive in hives:
                _place(model, hive, actor)
            announce_after_commit("models")
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
        announce_after_commit("models")
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
        announce_after_commit("models")
        notices.tell_hives([hive], protocol.ControlKind.PLACEMENTS)


def models_in_catalog() -> list[Model]:
    return list(Model.objects.filter(removed_at=None).order_by("name"))


def model_named(name: str) -> Model:
    """Raises NotFound."""
    if not rules.MODEL_NAME.fullmatch(name):
        _no_model(name)
    return Model.objects.filter(name=name, removed_at=None).first() or _no_model(name)


def prices_in_force(models: Sequence[Model]) -> dict[str, Price]:
    """By the model's name, as everyone without a card of their own pays. One query."""
    names = [model.name for model in models]
    found = versions_in_force().filter(card__plan=None, model__in=[*names, ANY_MODEL])
    newest = {price.model: price for price in found.distinct("card", "model")}
    return {name: price for name in names if (price := newest.get(name) or newest.get(ANY_MODEL))}


def published_capabilities(card: PriceCard, model_name: str) -> set[str]:
    """For `billing.domain.prices.who_publishes`."""
    models = Model.objects.filter(removed_at=None)
    if model_name == ANY_MODEL:
        models = models.exclude(name__in=Price.objects.filter(card=card).values("model"))
    else:
        models = models.filter(name=model_name)
    return set(models.values_list("capability", flat=True))


def _resolved(new: NewModel) -> NewModel:
    """A bare name means the model of that name, wherever it came from."""
    if new.name or not re.fullmatch(r"[a-zA-Z0-9._-]{1,128}", new.source):
        return new
    known = Model.objects.filter(name=new.source, removed_at=None).first()
    if known is None:
        return new
    return msgspec.structs.replace(
        new, source=known.source, name=known.name, engine=new.engine or known.engine
    )


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


def _set_price(model: Model, new: NewModel, is_new: bool, actor: Actor) -> None:
    """At home a model that nobody priced is free; in business that must be said."""
    is_free = new.is_free or (bool(new.prices) and not any(new.prices.values()))
    is_free = is_free or (is_new and not new.prices and not settings.RBEE.is_business)
    try:
        if new.prices or is_free:
            set_price(model.name, new.prices, currency=new.currency or None, is_free=is_free, actor=actor)
        require_price(model.name, model.capability)
    except NoPrice as error:
        raise InvalidInput(f"{error}: give prices, or say that it is free: --free", param="prices") from None
    except PriceRefused as error:
        raise InvalidInput(str(error), param="prices") from None


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
