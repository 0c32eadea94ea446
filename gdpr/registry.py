"""What each column holds about people. `manage.py check_privacy` fails while a column has no class.

A model says it in an inner class, by column name:

    class Privacy:
        none = ("id", "created_at")
        personal = ("email",)

`held` in the same class says why, how long and whose: `gdpr.holding`. Tables that only join two models hold identifiers
and are pseudonym as a whole. Models of installed packages are listed in `gdpr.foreign`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from django.apps import apps
from django.db import models

from gdpr.holding import Held


class PrivacyClass(StrEnum):
    NONE = "none"  # nothing about a person
    PSEUDONYM = "pseudonym"  # tells a person only with a key that is kept elsewhere
    PERSONAL = "personal"  # tells a person
    SECRET = "secret"  # noqa: S105 -- a credential, or what one is checked against
    CONTENT = "content"  # written by or for a customer: labels, scripts, receipts


Classes = dict[str, PrivacyClass]

HELD = "held"

_foreign: dict[str, Classes] = {}
_foreign_held: dict[str, Held] = {}


def classify(label: str, *, held: Held | None = None, **groups: Iterable[str]) -> None:
    """For a model that is not ours: `classify("auth.Group", none=("id", "name"), held=Held(…))`."""
    if groups:
        _foreign[label.lower()] = dict(_flatten(groups.items()))
    if held is not None:
        _foreign_held[label.lower()] = held


def held_of(model: type[models.Model]) -> Held | None:
    """None: nobody said it."""
    declared = None if model._meta.auto_created else vars(model).get("Privacy")
    if declared is None:
        return _foreign_held.get(model._meta.label_lower)
    held: Held | None = vars(declared).get(HELD)
    return held


def privacy_of(model: type[models.Model]) -> Classes:
    """Column name to class, as declared; empty when nothing is."""
    if model._meta.auto_created:
        return dict.fromkeys(columns_of(model), PrivacyClass.PSEUDONYM)
    declared = vars(model).get("Privacy")
    if declared is None:
        return _foreign.get(model._meta.label_lower, {})
    said = ((name, value) for name, value in vars(declared).items() if name != HELD)
    return dict(_flatten((name, value) for name, value in said if not name.startswith("__")))


def columns_of(model: type[models.Model]) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if field.column]


def unclassified(model: type[models.Model]) -> list[str]:
    """One line for each thing that is wrong with the classes of `model`."""
    declared, columns, label = privacy_of(model), columns_of(model), model._meta.label
    return [f"{label}.{name} has no privacy class" for name in columns if name not in declared] + [
        f"{label}.{name} has a privacy class but is no column" for name in declared if name not in columns
    ]


def findings() -> list[str]:
    return [line for model in apps.get_models(include_auto_created=True) for line in unclassified(model)]


def _flatten(groups: Iterable[tuple[str, Iterable[str]]]) -> Iterator[tuple[str, PrivacyClass]]:
    seen: set[str] = set()
    for group, names in groups:
        for name in names:
            if name in seen:
                raise ValueError(f"{name} has two privacy classes")
            seen.add(name)
            yield name, PrivacyClass(group)
