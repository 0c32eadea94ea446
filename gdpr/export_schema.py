"""JSON Schema of what an export holds of each table: the columns that the data map exports, as JSON has them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models

from gdpr.data_map import Holding, holdings
from gdpr.holding import Whose

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def schema_of(holding: Holding) -> Schema:
    """Of one row."""
    columns = {
        column.name: _column(holding.model._meta.get_field(column.name)) | {"x-privacy": str(column.privacy)}
        for column in holding.columns()
        if column.exported
    }
    return {
        "$schema": DIALECT,
        "$id": f"rbee:{holding.table}",
        "title": holding.label,
        "description": f"{holding.activity.title}: {holding.activity.purpose}. Kept {holding.retention.in_words()}.",
        "type": "object",
        "properties": columns,
        "required": list(columns),
        "additionalProperties": False,
    }


def schemas(whose: Whose) -> dict[str, Schema]:
    """By table, of what an export of one of these has."""
    return {
        each.table: schema_of(each)
        for each in holdings()
        if each.held.finders(whose) and each.exported_columns()
    }


def _column(field: Any) -> Schema:
    schema = _type(field)
    if field.null and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema


def _type(field: Any) -> Schema:
    if isinstance(field, models.ForeignKey):
        return _type(field.target_field)
    if isinstance(field, ArrayField):
        return {"type": "array", "items": _type(field.base_field)}
    if isinstance(field, models.JSONField):
        return {}
    for kinds, schema in _TYPES:
        if isinstance(field, kinds):
            return dict(schema)
    return {"type": "string"}


# DateTimeField is a DateField too, so it comes first.
_TYPES: Final[tuple[tuple[tuple[type, ...], Schema], ...]] = (
    ((models.UUIDField,), {"type": "string", "format": "uuid"}),
    ((models.DateTimeField,), {"type": "string", "format": "date-time"}),
    ((models.DateField,), {"type": "string", "format": "date"}),
    ((models.BooleanField,), {"type": "boolean"}),
    ((models.DecimalField,), {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
    ((models.IntegerField,), {"type": "integer"}),
    ((models.BinaryField,), {"type": "string", "contentEncoding": "base64"}),
)
