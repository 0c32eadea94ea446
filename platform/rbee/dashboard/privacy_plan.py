"""What an erasure will do, for whoever is to agree to it: the plan of the data map, by what becomes of each part and what it
is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gdpr import data_map
from gdpr.activities import ACTIVITIES
from gdpr.domain.erasure_plan import plan_rows
from gdpr.holding import Action, Whose

GOES: Final = frozenset({Action.DELETE, Action.KEY})
Places = dict[str, list[str]]  # by what they are for


@dataclass(frozen=True)
class Kept:
    """Under one law. `years`: calendar years; None: without an end, since it tells nobody."""

    law: str
    years: int | None
    places: Places


@dataclass(frozen=True)
class Plan:
    goes: Places
    keys: list[str]  # of Redis, which go too
    emptied: list[dict[str, Any]]  # rows that stay without what names somebody
    kept: list[Kept]


def plan_of(whose: Whose) -> Plan:
    rows = plan_rows(whose)
    tables = [row for row in rows if row["kind"] == "table"]
    titles = {each.table: ACTIVITIES[each.held.activity].title for each in data_map.holdings()}
    laws = dict.fromkeys((row["kept_under"], row["kept_calendar_years"]) for row in rows if row["kept_under"])
    return Plan(
        goes=_by_title([row["place"] for row in tables if row["action"] in GOES], titles),
        keys=[row["place"] for row in rows if row["kind"] == "key"],
        emptied=[row for row in rows if row["columns"]],
        kept=[
            Kept(law, years, _by_title([row["place"] for row in rows if row["kept_under"] == law], titles))
            for law, years in laws
        ],
    )


def _by_title(places: Iterable[str], titles: Mapping[str, str]) -> Places:
    found: Places = {}
    for place in places:
        found.setdefault(titles[place], []).append(place)
    return found
