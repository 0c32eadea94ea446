"""What an erasure will do, in words for whoever is to agree to it, made from the data map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gdpr import data_map, places
from gdpr.data_map import Step
from gdpr.holding import Action, Form, Whose
from gdpr.places import Kind


def plan_rows(whose: Whose) -> list[dict[str, Any]]:
    """In the order in which it happens: tables, rows that refer to others first, then keys in Redis."""
    return [{"step": number, **row} for number, row in enumerate([*_tables(whose), *_keys(whose)], start=1)]


def _tables(whose: Whose) -> Iterator[dict[str, Any]]:
    for step in data_map.plan(whose):
        law = step.erasure.law
        yield {
            "kind": "table",
            "place": step.holding.table,
            "found_by": ", ".join(_found_by(step, whose)),
            "action": str(step.erasure.action),
            "columns": list(step.erasure.columns),
            "kept_under": law.text if law else "",
            "kept_calendar_years": law.years if law else None,
            "otherwise_kept": step.holding.retention.in_words(),
        }


def _keys(whose: Whose) -> Iterator[dict[str, Any]]:
    for place in places.places(Kind.KEY):
        if whose in place.owners:
            yield {
                "kind": "key",
                "place": place.name,
                "found_by": f"{{{whose}}}",
                "action": str(Action.DELETE),
                "columns": [],
                "kept_under": "",
                "kept_calendar_years": None,
                "otherwise_kept": place.retention,
            }


def _found_by(step: Step, whose: Whose) -> Iterator[str]:
    for finder in step.holding.held.finders(whose):
        yield f"{finder.lookup} (each is read)" if finder.form is Form.SESSION else finder.lookup
