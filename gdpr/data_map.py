"""The data map: of every column its class, purpose, legal basis, retention, export and erasure, and by what its owner is
found. Read from what the models say (`gdpr.holding`); exports, erasures, retention and the record of processing are
made from it.

    holdings()                      every table
    holding_of(Member)              one; .exported_columns() .find(identity) .erasure(Whose.PERSON)
    plan(Whose.SUBJECT)             what an erasure does, rows that refer to others first
    findings()                      one line for each thing that is missing or makes no sense
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import models
from django.db.models import Q
from django.db.models.constants import LOOKUP_SEP

from gdpr import registry
from gdpr.activities import ACTIVITIES, Activity
from gdpr.holding import Action, Column, Erasure, Form, Held, Identity, Whose
from gdpr.registry import PrivacyClass
from gdpr.retention_rules import Retention, read_retention

# What these tell is nobody's to find by a pseudonym alone.
_TELLING = (PrivacyClass.PERSONAL, PrivacyClass.CONTENT)


@dataclass(frozen=True, slots=True)
class ColumnEntry:
    """All that the data map says of one column. `erasure`: of those whom it can belong to."""

    table: str
    name: str
    privacy: PrivacyClass
    activity: Activity
    retention: Retention
    exported: bool
    erasure: dict[Whose, Erasure]


@dataclass(frozen=True, slots=True)
class Holding:
    model: type[models.Model]
    held: Held

    @property
    def label(self) -> str:
        return self.model._meta.label

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def activity(self) -> Activity:
        return ACTIVITIES[self.held.activity]

    @property
    def retention(self) -> Retention:
        return read_retention(self.held.keep)

    @property
    def owners(self) -> tuple[Whose, ...]:
        """Empty: the rows are the operator's own."""
        return tuple(whose for whose in Whose if self.held.finders(whose))

    def rows(self) -> models.QuerySet[Any]:
        """All of them, inside of a scope; a narrower manager of the model does not hide any."""
        return self.model._base_manager.all()

    def find(self, identity: Identity) -> Q | None:
        """The rows of somebody. None: they have none here, or no query tells them (`is_scanned`). A subject's are
        narrowed to its tenant."""
        queries = [finder.query(identity) for finder in self.held.finders(identity.whose)]
        told = [query for query in queries if query is not None]
        if not told:
            return None
        found = told[0]
        for query in told[1:]:
            found |= query
        if identity.whose is Whose.SUBJECT:
            of_tenant = Identity(Whose.TENANT, tenant_id=identity.tenant_id)
            for finder in self.held.finders(Whose.TENANT):
                if (narrowed := finder.query(of_tenant)) is not None:
                    found &= narrowed
        return found

    def is_scanned(self, whose: Whose) -> bool:
        """Each row has to be read to tell whose it is."""
        return any(finder.form is Form.SESSION for finder in self.held.finders(whose))

    def erasure(self, whose: Whose) -> Erasure | None:
        """None: nothing in here is theirs."""
        return self.held.erasure(whose) if self.held.finders(whose) else None

    def columns(self) -> list[ColumnEntry]:
        classes, owners = registry.privacy_of(self.model), self.owners
        return [
            self._entry(name, classes[name], owners)
            for name in registry.columns_of(self.model)
            if name in classes
        ]

    def exported_columns(self) -> list[str]:
        return [column.name for column in self.columns() if column.exported]

    def _entry(self, name: str, privacy: PrivacyClass, owners: Iterable[Whose]) -> ColumnEntry:
        said = self.held.columns.get(name, Column())
        exported = bool(self.owners) and self.held.export if said.export is None else said.export
        return ColumnEntry(
            table=self.table,
            name=name,
            privacy=privacy,
            activity=ACTIVITIES[said.activity or self.held.activity],
            retention=self.retention,
            exported=exported and privacy is not PrivacyClass.SECRET,
            erasure={whose: self._erasure_of(name, privacy, whose) for whose in owners},
        )

    def _erasure_of(self, name: str, privacy: PrivacyClass, whose: Whose) -> Erasure:
        """Of a row that stays: the columns that its erasure names change, the others stay with it."""
        erasure = self.held.erasure(whose)
        if not erasure.columns:
            return erasure
        if name in erasure.columns:
            return Erasure(erasure.action, (name,))
        return Erasure(Action.KEEP, law=erasure.law)


class Step(NamedTuple):
    holding: Holding
    erasure: Erasure


def holdings() -> list[Holding]:
    """Every table of which somebody said what it holds: all of them, or `findings` names the others."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        held = registry.held_of(model)
        if held is not None and not model._meta.proxy:
            found.append(Holding(model, held))
    return found


def holding_of(model: type[models.Model]) -> Holding:
    """Raises LookupError."""
    held = registry.held_of(model)
    if held is None:
        raise LookupError(f"nobody said what {model._meta.label} holds")
    return Holding(model, held)


def plan(whose: Whose) -> list[Step]:
    """What becomes of everything that can be theirs, in an order in which no reference is broken."""
    concerned = [each for each in holdings() if each.erasure(whose) is not None]
    return [Step(each, each.held.erasure(whose)) for each in in_order(concerned)]


def in_order(chosen: Iterable[Holding]) -> list[Holding]:
    """Rows that refer to others before those."""
    by_model = {each.model: each for each in chosen}
    ordered: dict[type[models.Model], None] = {}

    def visit(model: type[models.Model], path: tuple[type[models.Model], ...]) -> None:
        if model in ordered or model in path:
            return
        for other in by_model:
            if other is not model and any(
                field.is_relation and field.related_model is model for field in other._meta.concrete_fields
            ):
                visit(other, (*path, model))
        ordered[model] = None

    for model in by_model:
        visit(model, ())
    return [by_model[model] for model in ordered]


def findings() -> list[str]:
    """Of tables. Other places are in `gdpr.places`."""
    return [line for model in apps.get_models(include_auto_created=True) for line in wrong_with(model)]


def wrong_with(model: type[models.Model]) -> list[str]:
    label = model._meta.label
    held = registry.held_of(model)
    if held is None:
        return [f"{label} does not say for what it is held, how long and whose: `held` in its Privacy"]
    return [f"{label}: {line}" for line in _wrong(model, held)]


def _wrong(model: type[models.Model], held: Held) -> Iterator[str]:
    columns, classes = registry.columns_of(model), registry.privacy_of(model)
    if held.activity not in ACTIVITIES:
        yield f"there is no activity {held.activity!r} in gdpr.activities"
    try:
        retention = read_retention(held.keep)
    except ValueError as error:
        yield str(error)
    else:
        if retention.is_timed and retention.column not in columns:
            yield f"its retention names {retention.column}, which is no column"
        if retention.is_timed and retention.column in columns:
            field = model._meta.get_field(retention.column)
            if not isinstance(field, models.DateField | models.UUIDField):
                yield f"its retention counts from {retention.column}, which is no time"
        if retention.parent and retention.parent not in columns:
            yield f"its retention names {retention.parent}, which is no column"
        companion = retention.companion
        if companion and companion != "colony" and not held.finders(Whose(companion)):
            yield f"is kept with the {companion}, and does not say by what theirs are found"
    for name, column in held.columns.items():
        if name not in columns:
            yield f"{name} has an exception but is no column"
        if column.activity and column.activity not in ACTIVITIES:
            yield f"there is no activity {column.activity!r} in gdpr.activities"
        if column.export and classes.get(name) is PrivacyClass.SECRET:
            yield f"{name} is secret and cannot be exported"
    for whose in Whose:
        yield from _wrong_owner(model, held, whose)
    owned = any(held.finders(whose) for whose in Whose)
    if not owned and not held.of_operator:
        for name, privacy in classes.items():
            if privacy in _TELLING:
                yield f"{name} is {privacy}, and nothing says whose it is"


def _wrong_owner(model: type[models.Model], held: Held, whose: Whose) -> Iterator[str]:
    finders, erasure = held.finders(whose), held.erasure(whose)
    for finder in finders:
        try:
            model._base_manager.all().query.names_to_path(finder.lookup.split(LOOKUP_SEP), model._meta)
        except FieldError:
            yield f"a {whose} is looked for by {finder.lookup}, which is no column"
    if not finders:
        return
    if erasure.action is Action.KEEP and erasure.law is None:
        yield f"is kept when a {whose} is erased, and no law is named"
    if erasure.action in (Action.CLEAR, Action.PSEUDONYMISE) and not erasure.columns:
        yield f"{erasure.action} for a {whose} names no column"
    for name in erasure.columns:
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            yield f"{name} is erased for a {whose} but is no column"
            continue
        if erasure.action is Action.CLEAR and not _can_be_empty(field):
            yield f"{name} can be neither null nor empty, so it cannot be cleared"


def _can_be_empty(field: Any) -> bool:
    texts = (models.CharField, models.TextField, models.JSONField, models.BinaryField)
    return bool(field.null) or (isinstance(field, texts) and not field.unique)
