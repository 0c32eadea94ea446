"""What of a table travels: its rows as JSON, in an order that is always the same, so that two colonies that hold the same
make the same bytes of it.

A reference to what each colony has its own of, as plans, is told by its name. Apps register what they know of that:

    register_natural_key("tenants.Plan", "slug")
    register_extra("tenant", Extra("tenants.User", …))      rows that the data map does not find by this owner
    register_filler("tenants.ApiKey", "mac", …)             what an import puts where a secret was
    register_files("tenant", …)                             files beside the tables
    register_opener("gdpr.VaultItem", "ciphertext", …)      what an export tells in place of what is encrypted
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from django.apps import apps
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast, JSONObject

from gdpr import data_map, registry
from gdpr.data_map import Holding
from gdpr.holding import Identity, Whose

AT_ONCE: Final = 2000

# History of the colony where it happened is no history of the one that imports; and what needs a secret that nobody has
# any more, or an account with somebody else, is made again.
NOT_IMPORTED: Final = frozenset({
    "gdpr.AuditEntry", "gdpr.VaultItem", "gdpr.DataRequest", "inference.Decision", "tenants.WebhookEvent", "tenants.WebhookDelivery",
    "inference.KeptContent",
    "tenants.WebhookEndpoint", "tenants.Alert", "tenants.Impersonation", "tenants.Invitation", "tenants.IdentityProvider", "billing.AttemptFence",
    "billing.StripeCustomer", "billing.ConnectedAccount", "billing.StripeSubscription", "billing.StripeRequest",
    "billing.AutoRecharge", "billing.Reversal", "billing.Difference",
})  # fmt: skip

File = tuple[str, bytes]  # name and content


@dataclass(frozen=True, slots=True)
class Extra:
    """`fill`: columns that an import sets by itself, whatever the archive says."""

    label: str
    columns: tuple[str, ...]
    find: Callable[[Identity], Q]
    fill: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opener:
    """`read`: the content of rows by their ids, of those that can be read. Called in a scope."""

    column: str
    name: str  # in the archive
    read: Callable[[Sequence[str]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """Of an archive. `columns`: names of fields. `is_derived`: the database makes its rows of others'."""

    model: type[models.Model]
    columns: tuple[str, ...]
    found: Q
    is_imported: bool
    is_derived: bool = False
    fill: Mapping[str, Callable[[], Any]] = field(default_factory=dict)

    @property
    def opener(self) -> Opener | None:
        return _openers.get(self.label)

    @property
    def label(self) -> str:
        return self.model._meta.label

    def key(self, name: str) -> str:
        """Of the JSON: the column's name, or the field's where a name stands for the row."""
        if self.opener and name == self.opener.column:
            return self.opener.name
        found: Any = self.model._meta.get_field(name)
        return name if _natural(found) else str(found.column)

    def keys(self) -> list[str]:
        return [self.key(name) for name in self.columns]

    def rows(self) -> models.QuerySet[Any]:
        return self.model._base_manager.filter(self.found)

    def page(self, after: Sequence[Any] | None) -> tuple[list[dict[str, Any]], list[Any] | None]:
        """The next rows after this key, and the key of the last one. In a scope."""
        composite = isinstance(self.model._meta.pk, models.CompositePrimaryKey)
        rows = self.rows().order_by("pk").annotate(portable=JSONObject(**self._expressions()))
        found: list[Any] = []
        for beyond in self._beyond(after):
            found += rows.filter(beyond).values_list("portable", "pk")[: AT_ONCE - len(found)]
            if len(found) == AT_ONCE:
                break
        if not found:
            return [], None
        last = found[-1][1]
        if self.opener:
            opened = self.opener.read([row[self.opener.name] for row, _ in found])
            for row, _ in found:
                row[self.opener.name] = opened.get(row[self.opener.name])
        return [row for row, _ in found], [str(part) for part in (last if composite else [last])]

    def _beyond(self, after: Sequence[Any] | None) -> Iterator[Q]:
        """One after the other what comes after this key: within its month first. Each is a range of an index; of all in
        one condition PostgreSQL makes a look at every row."""
        if after is None:
            yield Q()
            return
        names = [found.attname for found in self.model._meta.pk_fields]
        for depth in reversed(range(len(names))):
            same = dict(zip(names[:depth], after, strict=False))
            yield Q(**same, **{f"{names[depth]}__gt": after[depth]})

    def _expressions(self) -> dict[str, Any]:
        return {self.key(name): self._expression(name) for name in self.columns}

    def _expression(self, name: str) -> Any:
        found: Any = self.model._meta.get_field(name)
        if self.opener and name == self.opener.column:
            return F("pk")
        if natural := _natural(found):
            return F(f"{name}__{natural}")
        if isinstance(found, models.DecimalField):
            return Cast(F(name), models.TextField())  # a JSON number is read as a float by most
        return F(found.attname)


_natural_keys: dict[str, str] = {}
_extras: dict[str, list[Extra]] = {}
_fillers: dict[tuple[str, str], Callable[[], Any]] = {}
_files: dict[str, list[Callable[[Identity], Iterator[File]]]] = {}
_openers: dict[str, Opener] = {}
_derived: set[str] = set()
_preparations: dict[str, Callable[[Sequence[Mapping[str, Any]]], None]] = {}


def register_natural_key(label: str, column: str) -> None:
    _natural_keys[label] = column


def register_extra(whose: str, extra: Extra) -> None:
    _extras.setdefault(whose, []).append(extra)


def register_filler(label: str, column: str, fill: Callable[[], Any]) -> None:
    _fillers[label, column] = fill


def register_files(whose: str, files: Callable[[Identity], Iterator[File]]) -> None:
    _files.setdefault(whose, []).append(files)


def register_opener(
    label: str, column: str, name: str, read: Callable[[Sequence[str]], Mapping[str, Any]]
) -> None:
    _openers[label] = Opener(column, name, read)


def register_preparation(label: str, prepare: Callable[[Sequence[Mapping[str, Any]]], None]) -> None:
    """What has to be there before an import writes such rows. In its transaction."""
    _preparations[label] = prepare


def prepare_rows(label: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if prepare := _preparations.get(label):
        prepare(rows)


def register_derived(label: str) -> None:
    _derived.add(label)


def natural_key_of(model: type[models.Model]) -> str:
    return _natural_keys.get(model._meta.label, "")


def files_of(identity: Identity) -> Iterator[File]:
    for files in _files.get(identity.whose, []):
        yield from files(identity)


def tables_of(identity: Identity) -> list[Table]:
    """What others refer to first: in this order an import breaks no reference."""
    extras = [
        Table(apps.get_model(extra.label), extra.columns, extra.find(identity), True, fill=extra.fill)
        for extra in _extras.get(identity.whose, [])
    ]
    found = [_table(step.holding, identity) for step in reversed(data_map.plan(identity.whose))]
    return [*extras, *(table for table in found if table is not None)]


def _table(holding: Holding, identity: Identity) -> Table | None:
    query, columns = holding.find(identity), holding.exported_columns()
    if query is None or not columns:
        return None
    is_derived = holding.label in _derived
    is_imported = identity.whose is Whose.TENANT and holding.label not in NOT_IMPORTED and not is_derived
    return Table(holding.model, tuple(columns), query, is_imported, is_derived, _fills(holding))


def _fills(holding: Holding) -> dict[str, Callable[[], Any]]:
    return {
        name: fill
        for name in registry.columns_of(holding.model)
        if (fill := _fillers.get((holding.label, name))) is not None
    }


def _natural(found: Any) -> str:
    related = found.related_model if found.is_relation else None
    return _natural_keys.get(related._meta.label, "") if related is not None else ""


def line_of(row: Mapping[str, Any]) -> bytes:
    return _encode(row)


def schema_of(table: Table) -> dict[str, Any]:
    """JSON Schema (2020-12) of a table's file."""
    held = registry.held_of(table.model)
    described = Holding(table.model, held).columns() if held is not None else []
    entries = {entry.name: entry for entry in described}
    properties = {}
    for name in table.columns:
        is_opened = table.opener is not None and name == table.opener.column
        shape = {} if is_opened else _shape(table.model._meta.get_field(name))
        if name in entries:
            shape["description"] = f"{entries[name].privacy}; {entries[name].activity.purpose}"
        properties[table.key(name)] = shape
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table.label,
        "type": "array",
        "items": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }


def _shape(found: Any) -> dict[str, Any]:
    if _natural(found):
        return _maybe_null(found, {"type": "string"})
    if found.is_relation:
        return _maybe_null(found, _shape(found.target_field))
    for kind, shape in _SHAPES:
        if isinstance(found, kind):
            return _maybe_null(found, dict(shape))
    return {}


def _maybe_null(found: Any, shape: dict[str, Any]) -> dict[str, Any]:
    if found.null and isinstance(shape.get("type"), str):
        shape["type"] = [shape["type"], "null"]
    return shape


_SHAPES: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (models.UUIDField, {"type": "string", "format": "uuid"}),
    (models.DateTimeField, {"type": "string", "format": "date-time"}),
    (models.DateField, {"type": "string", "format": "date"}),
    (models.BooleanField, {"type": "boolean"}),
    (models.IntegerField, {"type": "integer"}),
    (models.DecimalField, {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
    (models.BinaryField, {"type": "string", "pattern": r"^\\x([0-9a-f]{2})*$"}),
    (models.CharField, {"type": "string"}),
    (models.TextField, {"type": "string"}),
)

_encode = msgspec.json.Encoder(order="deterministic").encode


def bytes_as_json(value: bytes) -> str:
    """As PostgreSQL writes and reads them."""
    return f"\\x{value.hex()}"
